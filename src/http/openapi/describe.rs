//! How one operation is described: words, parameters, bodies, answers, and the codes it may refuse with.
//!
//! Never: says who may call it; the table of routes does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::problems;
use super::words::no_control;
use crate::config::Role;
use crate::http::body::VALUE_MAX;
use crate::http::problem::{Code, PROBLEM_JSON};
use crate::http::routes::Route;
use crate::store::Page;

/// Schemas by name.
pub(in crate::http) type Schemas = Vec<(String, Value)>;

/// One method of one path, in words.
#[derive(Debug)]
pub(in crate::http) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    about: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    problems: BTreeSet<Code>,
    senders: bool,
    /// Schemas of what it answers.
    pub(super) answered: Schemas,
    /// Schemas of what it reads.
    pub(super) read: Schemas,
}

impl Operation {
    /// An operation of the table of routes.
    pub(in crate::http) fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            about: "",
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            problems: BTreeSet::new(),
            senders: false,
            answered: Vec::new(),
            read: Vec::new(),
        }
    }

    /// More than the summary says.
    pub(in crate::http) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// An optional parameter of the query; an empty one counts as not given.
    pub(in crate::http) fn query(mut self, name: &str, about: &str, schema: &Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "required": false, "description": about, "allowEmptyValue": true,
            "schema": schema,
        }));
        self
    }

    /// A parameter of the query that must be there.
    pub(in crate::http) fn needs(mut self, name: &str, about: &str, schema: &Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "required": true, "description": about, "schema": schema,
        }));
        self
    }

    /// `limit` and `cursor` of a list.
    pub(in crate::http) fn pages(self, cursor: &Value) -> Self {
        let limit =
            json!({ "type": "integer", "minimum": 1, "maximum": crate::store::PAGE_MAX, "default": 50 });
        self.query("limit", "Rows of the page.", &limit).query(
            "cursor",
            "`nextCursor` of the page before.",
            cursor,
        )
    }

    /// An optional header.
    pub(in crate::http) fn header(
        mut self,
        name: &str,
        about: &str,
        schema: &Value,
        example: &Value,
    ) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": about, "schema": schema,
            "example": example,
        }));
        self
    }

    /// The header that makes an order repeatable.
    pub(in crate::http) fn idempotent(self) -> Self {
        let about = "A repeated request with the same key gets the stored answer for 24 h; another request under the \
                     same key is refused.";
        let schema = json!({ "type": "string", "pattern": "^[!-~]{1,128}$" });
        self.header("Idempotency-Key", about, &schema, &json!("replay-4711"))
            .refuses(&[Code::InvalidHeader, Code::KeyReused])
    }

    /// A JSON body.
    pub(in crate::http) fn reads<T: ToSchema>(self, example: &Value) -> Self {
        self.reads_many::<T>(&[("one", example.clone())])
    }

    /// A JSON body with several examples.
    pub(in crate::http) fn reads_many<T: ToSchema>(mut self, examples: &[(&str, Value)]) -> Self {
        let schema = schema_of::<T>(&mut self.read);
        self.body = Some(content_of("application/json", &schema, examples));
        self.problems.extend([Code::InvalidBody, Code::ContentType]);
        self.refuses_bodies()
    }

    /// A body of another form than this service's own.
    pub(in crate::http) fn reads_as_sent(mut self, schema: &Value, examples: &[(&str, Value)]) -> Self {
        self.body = Some(content_of("application/json", schema, examples));
        self.refuses_bodies()
    }

    /// The body may be left out.
    pub(in crate::http) fn body_optional(mut self) -> Self {
        if let Some(Value::Object(body)) = &mut self.body {
            body.insert("required".to_owned(), json!(false));
        }
        self
    }

    fn refuses_bodies(self) -> Self {
        self.refuses(&[Code::BadRequest, Code::BodyTimeout, Code::BodyTooLarge, Code::ContentEncoding])
    }

    /// A JSON answer.
    pub(in crate::http) fn answers<T: ToSchema>(self, status: u16, about: &str, example: &Value) -> Self {
        let mut answered = Vec::new();
        let schema = schema_of::<T>(&mut answered);
        let mut with = self.answers_as(status, about, "application/json", &schema, example);
        with.answered.extend(answered);
        with
    }

    /// A page of a list.
    pub(in crate::http) fn answers_page<T: ToSchema>(self, about: &str, example: &Value) -> Self {
        let mut answered = Vec::new();
        let schema = schema_named::<Page<T>>(&format!("Page_{}", T::name()), &mut answered);
        schema_of::<T>(&mut answered);
        let mut with = self.answers_as(200, about, "application/json", &schema, example);
        with.answered.extend(answered);
        with
    }

    /// An answer in another form; one of several forms where this is called again.
    pub(in crate::http) fn answers_as(
        mut self,
        status: u16,
        about: &str,
        media: &str,
        schema: &Value,
        example: &Value,
    ) -> Self {
        let answer =
            self.answers.entry(status).or_insert_with(|| json!({ "description": about, "content": {} }));
        if let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut) {
            content.insert(media.to_owned(), json!({ "schema": schema, "example": example }));
        }
        self
    }

    /// An answer without a body.
    pub(in crate::http) fn answers_nothing(mut self, status: u16, about: &str) -> Self {
        self.answers.insert(status, json!({ "description": about }));
        self
    }

    /// Codes that it may refuse with, beyond those that follow from its route.
    pub(in crate::http) fn refuses(mut self, codes: &[Code]) -> Self {
        self.problems.extend(codes);
        self
    }

    /// The credential of a source is asked for, not a person's token.
    pub(in crate::http) fn for_senders(mut self) -> Self {
        self.senders = true;
        self.refuses(&[Code::BadCredential])
    }

    /// Everything that follows from its place in the table.
    fn problems_of(&self, route: &Route) -> BTreeSet<Code> {
        let mut codes = self.problems.clone();
        codes.extend([Code::MethodNotAllowed, Code::Internal]);
        if route.path.contains('{') {
            codes.insert(Code::NoSuchRoute);
        }
        if let Some(role) = route.role {
            codes.extend([
                Code::Unauthenticated,
                Code::TooManyAttempts,
                Code::InvalidQuery,
                Code::StoreFailed,
            ]);
            if role > Role::Viewer {
                codes.insert(Code::RoleTooLow);
            } else {
                codes.extend([Code::TooManyAtOnce, Code::Overloaded]);
            }
            if route.method != "get" {
                codes.insert(Code::ForeignOrigin);
            }
        }
        codes
    }

    /// The codes that it may refuse with.
    #[cfg(test)]
    pub(super) fn codes(&self, route: &Route) -> BTreeSet<Code> {
        self.problems_of(route)
    }

    /// The operation as the document has it.
    pub(super) fn render(&self, route: &Route, tag: &str) -> Value {
        let mut responses = Map::new();
        for (status, answer) in &self.answers {
            let mut answer = answer.clone();
            put_headers(&mut answer, *status);
            responses.insert(status.to_string(), answer);
        }
        let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in self.problems_of(route) {
            by_status.entry(code.status()).or_default().push(code);
        }
        for (status, codes) in by_status {
            let mut answer = problems::response(status, &codes);
            if route.method == "head" {
                answer = json!({ "description": answer.get("description") });
            }
            put_headers(&mut answer, status);
            responses.insert(status.to_string(), answer);
        }
        let mut parameters = vec![json!({ "$ref": "#/components/parameters/traceparent" })];
        parameters.extend(super::words::path_parameters(route.path));
        parameters.extend(self.parameters.iter().cloned());
        let role = route.role.map(|role| format!("Needs the role `{}`. ", role.as_str())).unwrap_or_default();
        let mut operation = json!({
            "operationId": self.id,
            "tags": [tag],
            "summary": self.summary,
            "description": format!("{role}{}", self.about).trim(),
            "parameters": parameters,
            "responses": responses,
            "security": self.security(route),
        });
        if let (Value::Object(fields), Some(body)) = (&mut operation, &self.body) {
            fields.insert("requestBody".to_owned(), body.clone());
        }
        operation
    }

    fn security(&self, route: &Route) -> Value {
        if self.senders {
            json!([{ "senderBearer": [] }, { "senderBasic": [] }, { "senderHeader": [] }, { "senderSignature": [] }])
        } else if route.role.is_some() {
            json!([{ "token": [] }, { "session": [] }])
        } else {
            json!([])
        }
    }

    /// Whether every body of it has an example.
    #[cfg(test)]
    pub(super) fn lacks_example(&self) -> bool {
        let empty = |content: &Value| {
            content.get("example").is_none_or(Value::is_null)
                && content.get("examples").is_none_or(Value::is_null)
        };
        let bodies = self.answers.values().chain(&self.body).filter_map(|body| body.get("content"));
        let mut media = bodies.filter_map(Value::as_object).flat_map(Map::values).peekable();
        (self.method != "head" && media.peek().is_none()) || media.any(empty)
    }
}

/// A reference to the schema of a type; it and what it needs are kept.
pub(super) fn schema_of<T: ToSchema>(kept: &mut Schemas) -> Value {
    schema_named::<T>(&T::name(), kept)
}

/// The same where the type's own name does not tell it from others.
fn schema_named<T: ToSchema>(name: &str, kept: &mut Schemas) -> Value {
    let mut needed = vec![(name.to_owned(), T::schema())];
    T::schemas(&mut needed);
    kept.extend(needed.into_iter().map(|(name, schema)| (name, json!(schema))));
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn content_of(media: &str, schema: &Value, examples: &[(&str, Value)]) -> Value {
    let content = match examples {
        [(_, only)] => json!({ "schema": schema, "example": only }),
        several => {
            let named: Map<String, Value> =
                several.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value }))).collect();
            json!({ "schema": schema, "examples": named })
        }
    };
    json!({ "required": true, "content": { media: content } })
}

/// The headers that every answer has, and those that go with a status.
fn put_headers(answer: &mut Value, status: u16) {
    let mut names = vec!["x-trace-id", "cache-control", "x-content-type-options"];
    match status {
        401 => names.push("www-authenticate"),
        405 => names.push("allow"),
        429 | 503 => names.push("retry-after"),
        _ => {}
    }
    let headers: Map<String, Value> = names
        .into_iter()
        .map(|name| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect();
    if let Value::Object(fields) = answer {
        fields.insert("headers".to_owned(), Value::Object(headers));
    }
}

/// A text of the query.
pub(in crate::http) fn text() -> Value {
    json!({ "type": "string", "maxLength": VALUE_MAX, "pattern": no_control() })
}

/// One of several words.
pub(in crate::http) fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> Value {
    let words: Vec<&str> = words.into_iter().collect();
    json!({ "type": "string", "enum": words })
}

/// A time: RFC 3339, or milliseconds since 1970.
pub(in crate::http) fn time() -> Value {
    json!({ "anyOf": [
        { "type": "string", "format": "date-time" },
        { "type": "integer", "description": "Milliseconds since 1970." },
    ] })
}

/// Media type of problems, for those who look for them.
pub(super) const PROBLEMS: &str = PROBLEM_JSON;
