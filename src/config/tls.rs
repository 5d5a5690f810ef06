//! `[server.tls]`: names the files of our certificate, and says at once what is wrong with them.
//!
//! Never: keeps what it read; the service reads the files itself, again and again.

use std::path::{Path, PathBuf};

use super::certificate::{CertificateFault, TlsConfig, read_client_ca, read_identity};
use super::secret::{Vault, open_to_others, showable};
use super::section::Section;

/// `[server.tls]`; `None` where it is not written, or wrong.
pub(super) fn tls(server: &mut Section<'_>, vault: Vault<'_>) -> Option<TlsConfig> {
    if !server.has("tls") {
        // Known even where it is absent.
        server.take("tls");
        return None;
    }
    let mut section = server.section("tls");
    let certificate = section.required_text("certificate_file", "the path of a certificate in PEM");
    let key = section.required_text("key_file", "the path of its key in PEM");
    let client_ca = section.text("client_ca_file");
    let place = |written: &String| vault.base.join(written);
    let written = |name: &str| match name {
        "certificate_file" => certificate.as_ref(),
        "key_file" => key.as_ref(),
        _ => client_ca.as_ref(),
    };
    let tell = |fault: CertificateFault| {
        let path = written(fault.key);
        let shown = path.map(|path| showable(Path::new(path), &place(path))).unwrap_or_default();
        section.problem(fault.key, format!("{shown}: {}", fault.why));
    };
    let client_ca_file: Option<PathBuf> = client_ca.as_ref().map(place);
    let authorities = client_ca_file.as_deref().map(read_client_ca).transpose();
    let authorities = authorities.map_err(tell).is_ok();
    let files = certificate.as_ref().map(place).zip(key.as_ref().map(place));
    let read = files.and_then(|(certificate_file, key_file)| {
        let identity = read_identity(&certificate_file, &key_file).map_err(tell).ok()?;
        Some((certificate_file, key_file, identity))
    });
    if let Some((_, key_file, _)) = &read
        && open_to_others(key_file)
    {
        let shown = key.as_ref().map(|path| showable(Path::new(path), key_file)).unwrap_or_default();
        section.warning("key_file", format!("{shown} can be read by other users; chmod 600 it"));
    }
    section.finish();
    let (certificate_file, key_file, identity) = read?;
    let config = TlsConfig { certificate_file, key_file, client_ca_file, validity: identity.validity };
    authorities.then_some(config)
}
