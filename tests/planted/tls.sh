# shellcheck shell=bash
# TLS of our own door, certificates of clients, credentials that are replaced, and the restore drill.

plant client-certificate-not-verified src/tls/mod.rs \
  's/Err\(error\) => \{\n\s*tracing::debug!\(%error, "the certificate of a client was refused"\);\n\s*ClientNames::default\(\)/Err(error) => {\n                tracing::debug!(%error, "the certificate of a client was refused");\n                names(own)/' \
  --test service tls::every_fault
plant client-certificate-name-not-compared src/config/certificate.rs \
  's/self.0.contains\(name\)/self.0.contains(name) || !self.0.is_empty()/' \
  --test service tls::every_fault
plant client-certificate-without-its-key src/tls/client.rs \
  's/verify_tls13_signature\(message, certificate, signed, &self.algorithms\)/verify_tls13_signature(message, certificate, signed, \&self.algorithms).or(Ok(HandshakeSignatureValid::assertion()))/' \
  --test service tls::a_certificate_without_its_key
plant client-certificate-refused-for-ever src/http/connection.rs \
  's/let looks = certificates.looks\(\);/let looks = 0;/' \
  --test service tls::an_authority
plant broken-pair-replaces-the-good-one src/config/certificate.rs \
  's/let certified = CertifiedKey::from_der\(chain, key, &provider\(\)\)/let certified = provider().key_provider.load_private_key(key).map(|key| CertifiedKey::new(chain, key))/' \
  --test service tls::a_renewed
plant client-certificate-believed-for-ever src/tls/mod.rs \
  's/let \(Some\(client_ca\), Some\(\(own, between\)\)\) = \(&held.client_ca, shown/static FIRST: std::sync::OnceLock<Arc<dyn ClientCertVerifier>> = std::sync::OnceLock::new(); let first = held.client_ca.as_ref().map(|ca| Arc::clone(FIRST.get_or_init(|| Arc::clone(ca)))); let (Some(client_ca), Some((own, between))) = (\&first, shown/' \
  --test service tls::an_authority
plant expired-renewal-is-used src/tls/mod.rs \
  's/Some\(why\) if fresh.identity.certified.cert != held.identity.certified.cert => \{/Some(why) if fresh.identity.certified.cert.is_empty() => {/' \
  --test service tls::a_renewed
plant figures-on-the-first-address src/http/routes.rs \
  's/Self::Work => path != "\/metrics",/Self::Work => true,/' \
  --test service tls::health_and_figures
plant everything-on-the-second-address src/http/routes.rs \
  's/Self::Operations => \[.*\].contains\(&path\),/Self::Operations => true,/' \
  --test service tls::health_and_figures
plant cookie-of-tls-in-the-clear src/http/caller.rs \
  's/        if is_encrypted\(req\) \{\n            return Some\(Self::Tls\);\n        \}\n/        let _encrypted = is_encrypted(req);\n/' \
  --test service tls::people_log_in
plant cloud-keys-stay-until-a-restart src/app.rs \
  's/self.cloud.renew_keys\(&config.cloud\)/Ok::<(), ClientError>(())/' \
  --test service rotation::keys_of_the_cloud
plant quarantine-holds-no-decision src/domain/standing.rs \
  's/facts.quarantine.is_some\(\), seen, "no quarantine"/false, seen, "no quarantine"/' \
  --test service drill::
plant named-authorities-beside-the-system src/cli/client.rs \
  's/Ok\(builder.tls_certs_only\(all\)\)/Ok(builder.tls_certs_merge(all))/' \
  --test service tls::the_command_line
