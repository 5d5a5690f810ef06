//! Prometheus: a query about one server, and whether its answer holds a row.
//!
//! Never: puts a text into a query that could end the string it stands in, or counts anything but rows of a vector.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Subject;
use crate::domain::corroboration::Seen;

/// `{"status":"success","data":{"resultType":"vector","result":[…]},"warnings":[…]}`
/// <https://prometheus.io/docs/prometheus/latest/querying/api/>
#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    /// What Prometheus could not read; the rest of the answer is then a part.
    #[serde(default)]
    warnings: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Vec<IgnoredAny>,
}

/// The query with `$ip`, `$name` and `$no` replaced by values of the cloud, in one pass.
pub(super) fn about(query: &str, subject: &Subject) -> Result<String, String> {
    let mut parts = query.split('$');
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        match word {
            "ip" => made.push_str(&subject.address.as_ref().map_err(Clone::clone)?.to_string()),
            "no" => made.push_str(subject.server.no.as_str()),
            "name" => made.push_str(&escaped(&subject.server.name)?),
            other => {
                made.push('$');
                made.push_str(other);
            }
        }
        made.push_str(rest);
    }
    Ok(made)
}

/// Safe inside a string in single or double quotes. Inside backquotes nothing can be escaped, so the name is refused.
fn escaped(name: &str) -> Result<String, String> {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\x22"),
            '\'' => out.push_str("\\x27"),
            '`' => return Err("the server's name holds a backquote, which no query can carry".to_owned()),
            c if c.is_control() => return Err("the server's name holds a control character".to_owned()),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Reads the answer.
pub(super) fn read(status: u16, body: &[u8]) -> Seen {
    let unclear = |why: &str| Seen::CouldNotTell(why.to_owned());
    if status != 200 {
        return Seen::CouldNotTell(format!("Prometheus answered {status}"));
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return unclear("the answer is not one of Prometheus");
    };
    let Some(data) = answer.data.filter(|_| answer.status == "success") else {
        return unclear("Prometheus could not answer the query");
    };
    if answer.warnings.is_some_and(|warnings| !warnings.is_empty()) {
        return unclear("Prometheus warns that its answer is not whole");
    }
    match (data.result_type.as_str(), data.result.len()) {
        ("vector", 0) => Seen::Disagrees("the query returns no row".to_owned()),
        ("vector", rows) => Seen::Agrees(format!("the query returns {rows} rows")),
        (_, _) => unclear("the query does not return rows of a vector"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::server::{RegionCode, Server, ServerNo};

    fn subject(name: &str) -> Subject {
        Subject {
            server: Server {
                no: ServerNo::parse("90000001").unwrap(),
                region: RegionCode::parse("KR").unwrap(),
                name: name.to_owned(),
                created_at: jiff::Timestamp::UNIX_EPOCH,
                uptime_at: None,
                platform_code: String::new(),
                hypervisor_code: String::new(),
                status_code: String::new(),
                operation_code: String::new(),
                memory_bytes: 0,
                zone_code: String::new(),
                subnet_no: String::new(),
                placement_group_no: String::new(),
            },
            address: Ok("10.0.0.21".parse().unwrap()),
        }
    }

    #[test]
    fn values_of_the_server_are_put_in_once_and_escaped() {
        let query = r#"up{instance=~"$ip:.*$",name="$name",no="$no"} == 0"#;
        assert_eq!(
            about(query, &subject("win-01")).unwrap(),
            r#"up{instance=~"10.0.0.21:.*$",name="win-01",no="90000001"} == 0"#
        );
        assert_eq!(about(r#"x{n="$name"}"#, &subject(r#"a"} or up #"#)).unwrap(), r#"x{n="a\x22} or up #"}"#);
        assert_eq!(about(r#"x{n="$name"}"#, &subject(r"a\'")).unwrap(), r#"x{n="a\\\x27"}"#);
        assert_eq!(about(r#"x{n="$name"}"#, &subject("$no")).unwrap(), r#"x{n="$no"}"#);
        assert!(about(r#"x{n="$name"}"#, &subject("a`b")).is_err());
        assert!(about(r#"x{n="$name"}"#, &subject("a\nb")).is_err());
        let nowhere = Subject { address: Err("no address".into()), ..subject("a") };
        assert_eq!(about("up{i=\"$ip\"}", &nowhere).unwrap_err(), "no address");
        assert!(about("up{i=\"$no\"}", &nowhere).is_ok());
    }

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let seen = match read(status, body.as_bytes()) {
            Seen::Agrees(_) => "agrees",
            Seen::Disagrees(_) => "disagrees",
            Seen::CouldNotTell(_) => "could not tell",
        };
        assert_eq!(seen, expected, "{status} {body}");
    }

    #[test]
    fn only_rows_of_a_whole_vector_agree_and_only_none_of_them_disagree() {
        let vector = |rows: &str| {
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}"#)
        };
        let row = r#"{"metric":{},"value":[1793337600.0,"0"]}"#;
        check(200, &vector(row), "agrees");
        check(200, &vector(&format!("{row},{row}")), "agrees");
        check(200, &vector(""), "disagrees");
        check(503, &vector(row), "could not tell");
        check(302, &vector(row), "could not tell");
        check(200, &vector("").replace("success", "error"), "could not tell");
        check(200, &vector(row).replace("vector", "scalar"), "could not tell");
        check(200, &vector(row).replace("vector", "matrix"), "could not tell");
        check(200, &vector("").replace("}}", r#"},"warnings":["a store is gone"]}"#), "could not tell");
        for body in ["", "null", "[]", "{}", "<html>", r#"{"status":"success"}"#, "[[[[[[", "\u{0}"] {
            check(200, body, "could not tell");
        }
        check(200, &"[".repeat(100_000), "could not tell");
    }
}
