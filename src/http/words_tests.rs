use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

use super::*;
use crate::backtest::ASSUMPTIONS;
use crate::domain::guard::Reason;
use crate::domain::remediation::State;

fn keys(language: Language) -> BTreeSet<String> {
    let key = Regex::new(r"(?m)^([a-z][a-z0-9_-]*) =").unwrap();
    let mut found = BTreeSet::new();
    for text in files(language) {
        let broken = FluentResource::try_new((*text).to_owned()).err().map(|(_, errors)| errors);
        assert!(broken.is_none(), "{}: {broken:?}", language.tag());
        for hit in key.captures_iter(text) {
            let key = hit[1].to_owned();
            assert!(found.insert(key.clone()), "{}: {key} is there twice", language.tag());
        }
    }
    found
}

fn texts(folder: &str, extension: &str, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|given| given == extension) {
            all.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Keys that templates and pages name in full, and the beginnings of those that are put together.
fn asked_for() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut all = Vec::new();
    texts("templates", "html", &mut all);
    texts("src/http/dashboard", "rs", &mut all);
    let whole = Regex::new(r#"(?:say|say1|say2|done|find|key)\(\s*"([a-z0-9_-]+)""#).unwrap();
    let begun = Regex::new(r#"word\(\s*"([a-z0-9_-]+)""#).unwrap();
    let find = |regex: &Regex| {
        all.iter()
            .flat_map(|text| regex.captures_iter(text).map(|hit| hit[1].to_owned()).collect::<Vec<_>>())
            .collect()
    };
    (find(&whole), find(&begun))
}

#[test]
fn every_language_says_everything_and_nothing_else() {
    let english = keys(Language::English);
    for language in Language::ALL {
        let here = keys(language);
        let missing: Vec<_> = english.difference(&here).collect();
        let extra: Vec<_> = here.difference(&english).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{}: missing {missing:?}, extra {extra:?}",
            language.tag()
        );
    }
}

#[test]
fn every_key_that_a_page_asks_for_is_there_and_every_key_is_asked_for() {
    let english = keys(Language::English);
    let (whole, begun) = asked_for();
    assert!(whole.len() > 20, "the pages ask for words: {whole:?}");
    let missing: Vec<_> = whole.difference(&english).collect();
    assert!(missing.is_empty(), "no page can say {missing:?}");
    // Keys that pages hand on as values stand there as texts.
    let mut pages = Vec::new();
    texts("src/http/dashboard", "rs", &mut pages);
    let named = |key: &str| pages.iter().any(|text| text.contains(&format!("\"{key}\"")));
    let begun = |key: &str| begun.iter().any(|begin| key.starts_with(&format!("{begin}-")));
    let idle: Vec<_> =
        english.iter().filter(|key| !whole.contains(*key) && !begun(key) && !named(key)).collect();
    assert!(idle.is_empty(), "nobody asks for {idle:?}");
}

#[test]
fn every_reason_state_and_assumption_has_words() {
    let english = keys(Language::English);
    for reason in Reason::ALL {
        let key = format!("reason-{}", reason.as_str());
        assert!(english.contains(&key), "{key}");
    }
    for state in State::ALL {
        let key = format!("state-{}", state.as_str());
        assert!(english.contains(&key), "{key}");
    }
    for (word, _text) in ASSUMPTIONS {
        let key = format!("assumed-{word}");
        assert!(english.contains(&key), "{key}");
    }
}

#[test]
fn values_stand_in_every_language() {
    let value = Regex::new(r"\{ *\$([a-z]+)").unwrap();
    let names = |text: &str| value.captures_iter(text).map(|hit| hit[1].to_owned()).collect::<BTreeSet<_>>();
    let entry = |language: Language, key: &str| {
        let start = format!("{key} =");
        let lines = files(language).iter().flat_map(|text| text.lines());
        let mut inside = false;
        let mut text = String::new();
        for line in lines {
            if line.starts_with(&start) {
                inside = true;
            } else if !line.starts_with(' ') {
                inside = false;
            }
            if inside {
                text.push_str(line);
            }
        }
        text
    };
    for key in keys(Language::English) {
        let wanted = names(&entry(Language::English, &key));
        for language in Language::ALL {
            assert_eq!(names(&entry(language, &key)), wanted, "{} of {}", key, language.tag());
        }
    }
}

#[test]
fn the_browser_is_asked_which_language_it_likes() {
    for (header, language) in [
        ("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean),
        ("ja", Language::Japanese),
        ("de;q=0.9, ja;q=0.3, en;q=0.2", Language::Japanese),
        ("de-DE", Language::English),
        ("", Language::English),
        ("en;q=0.1, ko;q=0.0", Language::English),
        ("*;;;q=,,ko;q=x", Language::English),
    ] {
        assert_eq!(Language::liked(header), language, "{header}");
    }
}
