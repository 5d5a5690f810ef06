//! Filter: which servers `getServerInstanceList` shows, in which order, and which page of them.
//!
//! Never: renders anything.

use crate::description::ServerSpec;
use crate::params::Params;

/// A parameter whose value cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadParameter(pub(crate) &'static str);

/// The list parameters of one call. Unknown parameters are ignored.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    numbers: Vec<&'a str>,
    platforms: Vec<&'a str>,
    hypervisors: Vec<&'a str>,
    name: Option<&'a str>,
    status: Option<&'a str>,
    vpc_no: Option<&'a str>,
    ip: Option<&'a str>,
    /// The simulator has no placement groups, no fabric clusters, and only SSD network disks.
    impossible: bool,
    by_name: bool,
    descending: bool,
    page: Option<(usize, usize)>,
}

impl<'a> Filter<'a> {
    pub(crate) fn of(params: &'a Params) -> Result<Self, BadParameter> {
        let mut platforms = params.list("platformTypeCodeList");
        platforms.extend(params.get("platformTypeCode"));
        let absent = ["fabricClusterPoolNo", "fabricClusterNo", "fabricClusterMode"];
        let other_disk = |name, only| params.get(name).is_some_and(|asked| asked != only);
        let impossible = absent.iter().any(|name| params.get(name).is_some())
            || !params.list("placementGroupNoList").is_empty()
            || other_disk("baseBlockStorageDiskTypeCode", "NET")
            || other_disk("baseBlockStorageDiskDetailTypeCode", "SSD");
        Ok(Self {
            numbers: params.list("serverInstanceNoList"),
            platforms,
            hypervisors: params.list("hypervisorTypeCodeList"),
            name: params.get("serverName"),
            status: params.get("serverInstanceStatusCode"),
            vpc_no: params.get("vpcNo"),
            ip: params.get("ip"),
            impossible,
            by_name: params.get("sortedBy") == Some("serverName"),
            descending: params.get("sortingOrder").is_some_and(|order| order.eq_ignore_ascii_case("desc")),
            page: page(params)?,
        })
    }

    /// Whether the server is shown. `serverName` matches exactly (UNCONFIRMED at the vendor); `ip` matches the
    /// private or the public address.
    pub(crate) fn shows(&self, server: &ServerSpec) -> bool {
        let among = |list: &[&str], value: &str| list.is_empty() || list.contains(&value);
        let is = |asked: Option<&str>, value: &str| asked.is_none_or(|asked| asked == value);
        !self.impossible
            && among(&self.numbers, &server.no)
            && among(&self.platforms, &server.platform)
            && among(&self.hypervisors, &server.hypervisor)
            && is(self.name, &server.name)
            && is(self.status, &server.status)
            && is(self.vpc_no, &server.vpc_no)
            && self.ip.is_none_or(|ip| ip == server.private_ip || ip == server.public_ip)
    }

    /// Sorts (by number unless `serverName` was asked for) and cuts out the page.
    pub(crate) fn arrange<'s>(&self, mut servers: Vec<&'s ServerSpec>) -> Vec<&'s ServerSpec> {
        if self.by_name {
            servers.sort_by(|a, b| a.name.cmp(&b.name));
        }
        if self.descending {
            servers.reverse();
        }
        match self.page {
            None => servers,
            Some((page_no, page_size)) => {
                let skipped = page_no.saturating_sub(1).saturating_mul(page_size);
                servers.into_iter().skip(skipped).take(page_size).collect()
            }
        }
    }
}

/// `pageNo` from 1 and `pageSize`; without a size, or with 0, everything is one page.
fn page(params: &Params) -> Result<Option<(usize, usize)>, BadParameter> {
    let number = |name: &'static str| match params.get(name) {
        None => Ok(None),
        Some(digits) => digits.parse::<usize>().map(Some).ok().ok_or(BadParameter(name)),
    };
    let (page_no, page_size) = (number("pageNo")?, number("pageSize")?);
    Ok(page_size.filter(|size| *size > 0).map(|size| (page_no.unwrap_or(1).max(1), size)))
}
