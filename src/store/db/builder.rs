//! Statements that are put together: from texts of the source, and parameters.
//!
//! Never: takes a text that came from outside.

use super::query::{Query, Text, Value};

/// A statement in the making.
#[derive(Debug)]
pub(in crate::store) struct QueryBuilder<'q> {
    text: String,
    values: Vec<Value<'q>>,
}

impl<'q> QueryBuilder<'q> {
    /// Begins with a text.
    pub(in crate::store) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// A text.
    pub(in crate::store) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A parameter.
    pub(in crate::store) fn push_bind(&mut self, value: impl Into<Value<'q>>) -> &mut Self {
        self.text.push('?');
        self.values.push(value.into());
        self
    }

    /// `VALUES` with a row for each of these.
    pub(in crate::store) fn push_values<R: 'q>(
        &mut self,
        rows: &'q [R],
        mut bind: impl FnMut(&mut Binds<'_, 'q>, &'q R),
    ) -> &mut Self {
        self.text.push_str("VALUES ");
        for (place, row) in rows.iter().enumerate() {
            self.text.push_str(if place == 0 { "(" } else { ", (" });
            bind(&mut Binds { of: self, first: true }, row);
            self.text.push(')');
        }
        self
    }

    /// The statement.
    pub(in crate::store) fn build(self) -> Query<'q> {
        Query::new(Text::Built(self.text), self.values)
    }
}

/// Parameters of one row.
#[derive(Debug)]
pub(in crate::store) struct Binds<'b, 'q> {
    of: &'b mut QueryBuilder<'q>,
    first: bool,
}

impl<'q> Binds<'_, 'q> {
    /// The next one.
    pub(in crate::store) fn push_bind(&mut self, value: impl Into<Value<'q>>) -> &mut Self {
        if !std::mem::take(&mut self.first) {
            self.of.text.push_str(", ");
        }
        self.of.push_bind(value);
        self
    }
}
