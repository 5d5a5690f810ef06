//! Listings and single things as the service has them: one form for all of them.
//!
//! Never: computes anything; it picks fields and prints them.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{Client, ServiceArgs, text_of};
use super::failure::Failure;
use super::out::{Format, Out};
use super::table::{Table, wrapped};
use super::when;

/// How it is printed, and who is asked.
#[derive(Debug, Args)]
pub(super) struct LookArgs {
    /// Whole cells and more columns, however wide
    #[arg(long)]
    pub(super) wide: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// Which part of a long list.
#[derive(Debug, Args)]
pub(super) struct PageArgs {
    /// Most rows
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    /// Where the page before ended, as it said
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl PageArgs {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.cursor.clone().map(|cursor| ("cursor", cursor)));
        query
    }
}

/// One column of a listing.
pub(super) struct Column {
    heading: &'static str,
    cell: fn(&Value) -> String,
    wide: bool,
}

/// A column that is always there.
pub(super) const fn column(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { heading, cell, wide: false }
}

/// A column for whoever asks for more.
pub(super) const fn wide(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { heading, cell, wide: true }
}

/// A page of a long list.
pub(super) async fn page(
    what: &str,
    mut query: Vec<(&str, String)>,
    page: &PageArgs,
    look: &LookArgs,
    columns: &[Column],
    out: &mut Out,
) -> Result<(), Failure> {
    query.extend(page.query());
    let answer = Client::new(&look.service)?.get(&[what], &query).await?;
    print(what, &answer, look, columns, out)
}

/// A list that is short enough to be whole; its rows.
pub(super) async fn whole(
    what: &str,
    query: &[(&str, String)],
    look: &LookArgs,
    columns: &[Column],
    out: &mut Out,
) -> Result<Value, Failure> {
    let answer = Client::new(&look.service)?.get(&[what], query).await?;
    print(what, &answer, look, columns, out)?;
    Ok(answer)
}

/// An answer with `items`: as it is, or as a table whose first column is kept whole.
pub(super) fn print(
    what: &str,
    answer: &Value,
    look: &LookArgs,
    columns: &[Column],
    out: &mut Out,
) -> Result<(), Failure> {
    if look.output == Format::Json {
        return Ok(out.json(answer)?);
    }
    let columns: Vec<&Column> = columns.iter().filter(|column| look.wide || !column.wide).collect();
    let headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
    let mut table = Table::new(&headings).keep(headings.first().copied().unwrap_or_default());
    for row in items(answer) {
        table.row(columns.iter().map(|column| (column.cell)(row)));
    }
    if table.is_empty() {
        out.line(format_args!("no {what}"))?;
    } else {
        table.print(out, look.wide)?;
    }
    if let Some(cursor) = answer.get("nextCursor").and_then(Value::as_str) {
        out.line(format_args!("more: --cursor {cursor}"))?;
    }
    Ok(())
}

/// The rows of an answer.
pub(super) fn items(answer: &Value) -> &[Value] {
    answer.get("items").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One thing with an address of its own.
pub(super) async fn one(path: &[&str], look: &LookArgs, out: &mut Out) -> Result<(), Failure> {
    let answer = Client::new(&look.service)?.get(path, &[]).await?;
    show(&answer, look, out)
}

/// One thing of a list, by the field that names it.
pub(super) async fn one_of(
    what: &str,
    field: &str,
    name: &str,
    look: &LookArgs,
    out: &mut Out,
) -> Result<(), Failure> {
    let rows = Client::new(&look.service)?.list(&[what]).await?;
    let named: Vec<&Value> = rows.iter().filter(|row| text_of(row, field) == name).collect();
    if named.is_empty() {
        return Err(Failure::not_so(format!("{what}: none has the {field} {name:?}")));
    }
    named.into_iter().try_for_each(|one| show(one, look, out))
}

/// One thing, field by field.
pub(super) fn show(thing: &Value, look: &LookArgs, out: &mut Out) -> Result<(), Failure> {
    if look.output == Format::Json {
        return Ok(out.json(thing)?);
    }
    let mut lines = Vec::new();
    fields(thing, "", look.wide, &mut lines);
    lines.into_iter().try_for_each(|line| out.line(line))?;
    Ok(())
}

/// Fields that say what a thing is; they come first.
const FIRST: [&str; 12] = [
    "id",
    "seq",
    "name",
    "policy",
    "state",
    "outcome",
    "serverInstanceNo",
    "serverName",
    "detail",
    "cause",
    "reason",
    "requestId",
];

/// The fields of a thing as lines: what it is, what else is said of it, then what it has in it, indented. Empty ones only
/// where all is wanted.
fn fields(thing: &Value, indent: &str, all: bool, lines: &mut Vec<String>) {
    let Value::Object(fields_of) = thing else {
        lines.extend(wrapped(indent, &plain(thing)));
        return;
    };
    let has_parts = |value: &Value| match value {
        Value::Object(_) => true,
        Value::Array(list) => list.iter().any(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut ordered: Vec<(&String, &Value)> = fields_of.iter().collect();
    ordered.sort_by_key(|(name, value)| (has_parts(value), place(name)));
    let deeper = format!("{indent}  ");
    for (name, value) in ordered {
        match value {
            Value::Object(_) => {
                lines.push(format!("{indent}{name}:"));
                fields(value, &deeper, all, lines);
            }
            Value::Array(list) if has_parts(value) => {
                lines.push(format!("{indent}{name}:"));
                for (place, one) in list.iter().enumerate() {
                    lines.push(format!("{deeper}{}.", place + 1));
                    fields(one, &format!("{deeper}  "), all, lines);
                }
            }
            Value::Array(list) if !list.is_empty() => {
                let list: Vec<String> = list.iter().map(plain).collect();
                lines.extend(wrapped(indent, &format!("{name}: {}", list.join(", "))));
            }
            Value::Null | Value::Array(_) if !all => {}
            Value::String(text) if text.is_empty() && !all => {}
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                lines.extend(wrapped(indent, &format!("{name}: {}", plain(value))));
            }
        }
    }
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A field, or a dash.
pub(super) fn word(row: &Value, field: &str) -> String {
    Some(text_of(row, field)).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// A time for a narrow column, or a dash.
pub(super) fn at(row: &Value, field: &str) -> String {
    text_of(row, field).parse::<Timestamp>().map_or_else(|_none| "-".to_owned(), when::short)
}

/// A time to the minute, or a dash.
pub(super) fn minute(row: &Value, field: &str) -> String {
    text_of(row, field).parse::<Timestamp>().map_or_else(|_none| "-".to_owned(), when::minute)
}

/// The texts of a list with commas between.
pub(super) fn joined(row: &Value, field: &str) -> String {
    let list = row.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let texts: Vec<String> = list.iter().map(plain).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_told_field_by_field_and_empty_fields_are_left_out() {
        let thing = serde_json::json!({
            "id": "7", "until": null, "note": "", "servers": ["1", "2"],
            "attempts": [{"outcome": "unknown", "try": 1}], "server": {"name": "win\u{202e}"},
        });
        let mut lines = Vec::new();
        fields(&thing, "", false, &mut lines);
        let told = [
            "id: 7",
            "servers: 1, 2",
            "attempts:",
            "  1.",
            "    outcome: unknown",
            "    try: 1",
            "server:",
            "  name: win\u{fffd}",
        ];
        assert_eq!(lines, told);
    }
}
