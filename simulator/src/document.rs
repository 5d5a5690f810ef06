//! Document: an ordered tree that is written as the vendor's JSON or as its XML.
//!
//! Never: knows which fields there are.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::wire::Answer;

/// `responseFormatType`; the vendor's default is XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json;charset=UTF-8",
            Self::Xml => "text/xml;charset=UTF-8",
        }
    }
}

/// A value; JSON arrays carry the element name their items have in XML.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text(String),
    Number(u64),
    Flag(bool),
    Object(Vec<(&'static str, Node)>),
    List(&'static str, Vec<Node>),
}

impl Node {
    pub(crate) fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// Writes the tree under its one root name.
    pub(crate) fn render(&self, root: &'static str, format: Format) -> Vec<u8> {
        match format {
            Format::Json => serde_json::to_vec(&Root(root, self)).unwrap_or_default(),
            Format::Xml => {
                let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
                self.write_xml(root, &mut out);
                out.into_bytes()
            }
        }
    }

    /// Writes the tree as the body of an answer.
    pub(crate) fn answer(&self, status: u16, root: &'static str, format: Format) -> Answer {
        Answer::new(status, format.content_type(), self.render(root, format))
    }

    fn write_xml(&self, name: &str, out: &mut String) {
        if matches!(self, Self::Text(text) if text.is_empty()) && name.starts_with("placementGroup") {
            out.push_str(&open_tag(name, "/>"));
            return;
        }
        out.push_str(&open_tag(name, ">"));
        match self {
            Self::Text(text) => escape_into(text, out),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Object(fields) => {
                for (field, value) in fields {
                    value.write_xml(field, out);
                }
            }
            Self::List(item, values) => {
                for value in values {
                    value.write_xml(item, out);
                }
            }
        }
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    }
}

fn open_tag(name: &str, end: &str) -> String {
    let mut tag = String::with_capacity(name.len().saturating_add(3));
    tag.push('<');
    tag.push_str(name);
    tag.push_str(end);
    tag
}

fn escape_into(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
}

struct Root<'a>(&'static str, &'a Node);

impl Serialize for Root<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            Self::List(_, values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tree_is_written_both_ways_in_order() {
        let tree = Node::Object(vec![
            ("name", Node::text("a<b&c")),
            ("placementGroupNo", Node::text("")),
            ("size", Node::Number(8_589_934_592)),
            ("noList", Node::List("no", vec![Node::text("1"), Node::text("2")])),
            ("safe", Node::Flag(false)),
        ]);
        assert_eq!(
            String::from_utf8(tree.render("root", Format::Json)).unwrap(),
            r#"{"root":{"name":"a<b&c","placementGroupNo":"","size":8589934592,"noList":["1","2"],"safe":false}}"#
        );
        assert_eq!(
            String::from_utf8(tree.render("root", Format::Xml)).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<root><name>a&lt;b&amp;c</name><placementGroupNo/>\
             <size>8589934592</size><noList><no>1</no><no>2</no></noList><safe>false</safe></root>"
        );
    }
}
