//! The words of the pages in every language, from one catalogue in `locales/`.
//!
//! Never: shows an empty place. What a language lacks is said in English, and a test finds it.

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use unic_langid::LanguageIdentifier;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Korean,
    Japanese,
}

/// Files of each language; all three have the same keys.
macro_rules! catalogue {
    ($folder:literal: $($file:literal)+) => {
        &[$(include_str!(concat!("../../locales/", $folder, "/", $file, ".ftl")),)+]
    };
}

macro_rules! catalogues {
    ($($file:literal)+) => {
        fn files(language: Language) -> &'static [&'static str] {
            match language {
                Language::English => catalogue!("en": $($file)+),
                Language::Korean => catalogue!("ko": $($file)+),
                Language::Japanese => catalogue!("ja": $($file)+),
            }
        }
    };
}

catalogues! { "common" "now" "incidents" "holds" "deliveries" "audit" "explain" "servers" "policies" "trends" }

static ENGLISH: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| bundle(Language::English));
static KOREAN: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| bundle(Language::Korean));
static JAPANESE: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| bundle(Language::Japanese));

fn bundle(language: Language) -> FluentBundle<FluentResource> {
    let mut bundle = FluentBundle::new_concurrent(vec![language.id()]);
    // Values are isolated by <bdi> where they could turn the direction; marks inside would end up in attributes.
    bundle.set_use_isolating(false);
    for text in files(language) {
        // A line that cannot be read is left out; a test finds it.
        let resource = FluentResource::try_new((*text).to_owned()).unwrap_or_else(|(readable, _)| readable);
        drop(bundle.add_resource(resource));
    }
    bundle
}

impl Language {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::English, Self::Korean, Self::Japanese];

    /// The tag of the language, as in the attribute `lang`.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
            Self::Japanese => "ja",
        }
    }

    /// Its own name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Korean => "한국어",
            Self::Japanese => "日本語",
        }
    }

    /// The language of a tag such as `ko` or `ko-KR`.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        let asked: LanguageIdentifier = tag.trim().parse().ok()?;
        Self::ALL.into_iter().find(|known| known.id().language == asked.language)
    }

    /// The language that a browser likes best, by `Accept-Language`; English when it likes none of ours.
    pub(super) fn liked(header: &str) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for wish in header.split(',').take(32) {
            let (tag, weight) = wish.split_once(";q=").unwrap_or((wish, "1"));
            let weight: f32 = weight.trim().parse().unwrap_or(0.0);
            if let Some(language) = Self::of_tag(tag)
                && weight > best.map_or(0.0, |(most, _)| most)
            {
                best = Some((weight, language));
            }
        }
        best.map_or(Self::English, |(_, language)| language)
    }

    fn id(self) -> LanguageIdentifier {
        // The tags are those of `tag`; one that could not be read would be the undetermined language.
        self.tag().parse().unwrap_or_default()
    }

    fn bundle(self) -> &'static FluentBundle<FluentResource> {
        match self {
            Self::English => &ENGLISH,
            Self::Korean => &KOREAN,
            Self::Japanese => &JAPANESE,
        }
    }

    /// The words of a key, with values put in.
    pub(super) fn say(self, key: &str, values: &[(&str, &str)]) -> String {
        self.find(key, values).or_else(|| Self::English.find(key, values)).unwrap_or_else(|| key.to_owned())
    }

    /// The words of a key that may be missing: a word of the machine has its own spelling as well.
    pub(super) fn find(self, key: &str, values: &[(&str, &str)]) -> Option<String> {
        let bundle = self.bundle();
        let pattern = bundle.get_message(key)?.value()?;
        let mut args = FluentArgs::new();
        for (name, value) in values {
            // Numbers choose plural forms.
            match value.parse::<i64>() {
                Ok(number) => args.set(*name, number),
                Err(_) => args.set(*name, *value),
            }
        }
        Some(bundle.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned())
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
