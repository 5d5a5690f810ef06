//! Gathers the pages of a server list, and gives a list out only if it is whole.
//!
//! Never: loops without end, hides a row that could not be read, returns a list that changed on the way.

use std::collections::BTreeMap;

use super::wire::Answer;
use crate::domain::server::{Server, ServerNo};

/// Rows asked for per page.
pub(super) const PAGE_ROWS: u32 = 100;

/// Most pages of one list.
const PAGES_MAX: u32 = 200;

/// Why pages do not make a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The answer has no list or no total.
    #[error("the answer has no serverInstanceList or no totalRows")]
    NoList,
    /// A row could not be read.
    #[error("a row cannot be used: {0}")]
    UnreadableRow(String),
    /// The total changed, or a server came twice.
    #[error("the list changed while it was read; the next read starts over")]
    Changed,
    /// All pages were read and rows are missing.
    #[error("{read} of {total} servers came; the list is not complete")]
    Incomplete {
        /// Rows that came.
        read: u64,
        /// Rows that were promised.
        total: u64,
    },
    /// The list is longer than we read.
    #[error("{total} servers are more than can be read")]
    TooLong {
        /// Rows that were promised.
        total: u64,
    },
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Page(u32),
    Done(Vec<Server>),
}

/// The pages of one list so far. Starts with page 1; the vendor does not say whether the first page is 0 or
/// 1, so page 0 is read last, and only if rows are missing.
#[derive(Debug, Default)]
pub(super) struct Pages {
    total: Option<u64>,
    servers: BTreeMap<ServerNo, Server>,
}

impl Pages {
    pub(super) const FIRST: u32 = 1;

    /// Adds the answer to page `page_no`.
    pub(super) fn add(&mut self, page_no: u32, answer: Answer) -> Result<Next, ListError> {
        if let Some(row) = answer.unreadable_rows.into_iter().next() {
            return Err(ListError::UnreadableRow(row));
        }
        let (Some(total), Some(_)) = (answer.total_rows, answer.server_numbers) else {
            return Err(ListError::NoList);
        };
        if total > u64::from(PAGE_ROWS).saturating_mul(u64::from(PAGES_MAX)) {
            return Err(ListError::TooLong { total });
        }
        if self.total.is_some_and(|before| before != total) {
            return Err(ListError::Changed);
        }
        self.total = Some(total);
        let page_is_empty = answer.servers.is_empty();
        for server in answer.servers {
            if self.servers.insert(server.no.clone(), server).is_some() {
                return Err(ListError::Changed);
            }
        }
        let read = u64::try_from(self.servers.len()).unwrap_or(u64::MAX);
        if read == total {
            let servers = std::mem::take(&mut self.servers);
            return Ok(Next::Done(servers.into_values().collect()));
        }
        if read > total {
            return Err(ListError::Changed);
        }
        match page_no {
            0 => Err(ListError::Incomplete { read, total }),
            _ if page_is_empty || page_no >= PAGES_MAX => Ok(Next::Page(0)),
            _ => Ok(Next::Page(page_no.saturating_add(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::server::RegionCode;

    fn page(total: u64, numbers: &[u64]) -> Answer {
        let server = |no: &u64| Server {
            no: ServerNo::parse(&no.to_string()).unwrap(),
            region: RegionCode::parse("KR").unwrap(),
            name: format!("s{no}"),
            created_at: Timestamp::UNIX_EPOCH,
            uptime_at: None,
            platform_code: String::new(),
            hypervisor_code: String::new(),
            status_code: String::new(),
            operation_code: String::new(),
            memory_bytes: 0,
            zone_code: String::new(),
            subnet_no: String::new(),
            placement_group_no: String::new(),
        };
        Answer {
            total_rows: Some(total),
            server_numbers: Some(numbers.iter().map(u64::to_string).collect()),
            servers: numbers.iter().map(server).collect(),
            ..Answer::default()
        }
    }

    /// Feeds the pages that are asked for; says how it ended.
    fn run(pages: impl Fn(u32) -> Answer) -> Result<usize, ListError> {
        let mut list = Pages::default();
        let mut page_no = Pages::FIRST;
        loop {
            match list.add(page_no, pages(page_no))? {
                Next::Done(servers) => return Ok(servers.len()),
                Next::Page(next) => page_no = next,
            }
        }
    }

    #[test]
    fn whole_lists_are_given_out_whichever_page_is_first() {
        assert_eq!(run(|_| page(0, &[])), Ok(0));
        assert_eq!(run(|_| page(2, &[1, 2])), Ok(2));
        let split = |no| match no {
            1 => page(5, &[1, 2]),
            2 => page(5, &[3, 4]),
            3 => page(5, &[5]),
            _ => page(5, &[]),
        };
        assert_eq!(run(split), Ok(5));
        assert_eq!(run(|no| split(no + 1)), Ok(5));
    }

    #[test]
    fn anything_else_is_an_error() {
        let changed = |no| page(u64::from(no) + 2, &[u64::from(no)]);
        assert_eq!(run(changed), Err(ListError::Changed));
        assert_eq!(run(|_| page(3, &[1])), Err(ListError::Changed));
        assert_eq!(run(|_| page(1, &[1, 2])), Err(ListError::Changed));
        let short = |no| page(3, if no == 1 { &[1] } else { &[] });
        assert_eq!(run(short), Err(ListError::Incomplete { read: 1, total: 3 }));
        let endless = |no| page(20_000, &[u64::from(no) + 1]);
        assert!(matches!(run(endless), Err(ListError::Incomplete { .. })));
        assert_eq!(run(|_| page(20_001, &[1])), Err(ListError::TooLong { total: 20_001 }));
        assert_eq!(run(|_| Answer::default()), Err(ListError::NoList));
        let bad_row = |_| Answer { unreadable_rows: vec!["x".into()], ..page(1, &[]) };
        assert_eq!(run(bad_row), Err(ListError::UnreadableRow("x".into())));
    }
}
