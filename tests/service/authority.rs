//! Certificates for tests: authorities, doors and clients, made anew in each run.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, both in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Midnight, so many days from today.
#[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
fn date(from_today: i32) -> (i32, u8, u8) {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let date = today.checked_add(jiff::Span::new().days(from_today)).unwrap();
    (date.year().into(), date.month().try_into().unwrap(), date.day().try_into().unwrap())
}

fn between(params: &mut CertificateParams, first: i32, last: i32) {
    let at = |(year, month, day)| rcgen::date_time_ymd(year, month, day);
    (params.not_before, params.not_after) = (at(date(first)), at(date(last)));
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a door at 127.0.0.1, good from yesterday for this many days.
    pub(crate) fn door(&self, days: i32) -> Pair {
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        between(&mut params, -30, days);
        self.sign(&params)
    }

    /// For a client with these names: `dns:…` or `uri:…`.
    pub(crate) fn client(&self, names: &[&str]) -> Pair {
        self.client_until(names, 30, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// The same, with its last day and its purpose.
    pub(crate) fn client_until(&self, names: &[&str], days: i32, purpose: ExtendedKeyUsagePurpose) -> Pair {
        let mut params = CertificateParams::default();
        between(&mut params, -30, days);
        params.extended_key_usages = vec![purpose];
        params.distinguished_name.push(rcgen::DnType::CommonName, "am.example");
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.split_once(':').unwrap() {
                ("dns", name) => SanType::DnsName(name.try_into().unwrap()),
                ("uri", name) => SanType::URI(name.try_into().unwrap()),
                ("mail", name) => SanType::Rfc822Name(name.try_into().unwrap()),
                _ => panic!("{name}"),
            })
            .collect();
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
