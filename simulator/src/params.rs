//! Params: the parameters of one call, from its query and its form body.
//!
//! Never: gives them meaning.

use crate::wire::Request;

/// Decoded parameters. A name in the form body wins over the same name in the query.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    pub(crate) fn of(request: &Request) -> Self {
        let mut pairs = Vec::new();
        if request.method == "POST" {
            decode_into(&mut pairs, &request.body);
        }
        if let Some(query) = request.query() {
            decode_into(&mut pairs, query.as_bytes());
        }
        Self { pairs }
    }

    /// The first value under `name`, unless empty: the vendor's clients send empty for "not given".
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    /// The values of `name.1`, `name.2`, …, as the vendor writes lists.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let numbered = |key: &str| {
            let number = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            number.is_some_and(|n| n.parse::<u32>().is_ok())
        };
        self.pairs
            .iter()
            .filter(|(key, value)| numbered(key) && !value.is_empty())
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

fn decode_into(pairs: &mut Vec<(String, String)>, encoded: &[u8]) {
    for pair in encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default());
        pairs.push((name, decode(halves.next().unwrap_or_default())));
    }
}

fn decode(encoded: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => match hex_pair(tail) {
                Some(value) => {
                    decoded.push(value);
                    rest = tail.get(2..).unwrap_or_default();
                }
                None => decoded.push(b'%'),
            },
            other => decoded.push(other),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let digits = text.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        let mut pairs = Vec::new();
        decode_into(&mut pairs, query.as_bytes());
        Params { pairs }
    }

    #[test]
    fn escapes_pluses_and_stray_percents_are_decoded() {
        let params = params("serverName=a%20b%2Bc+d&odd=100%&empty=&bare");
        assert_eq!(params.get("serverName"), Some("a b+c d"));
        assert_eq!(params.get("odd"), Some("100%"));
        assert_eq!(params.get("empty"), None);
        assert_eq!(params.get("bare"), None);
    }

    #[test]
    fn lists_are_dotted_numbers() {
        let params = params("noList.1=7&noList.2=8&noList=9&noListOther.1=10");
        assert_eq!(params.list("noList"), ["7", "8"]);
    }
}
