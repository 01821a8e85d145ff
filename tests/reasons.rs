//! Every refusal says why: each place in the source that makes an error has a reason whose blanks are all filled, and
//! so has each error that the cases bring about.

#[path = "common/files.rs"]
mod files;
#[path = "common/sites.rs"]
mod sites;

use std::fs;
use std::path::Path;

use files::files;
use nslab::abi::{Call, Treatment};
use nslab::errno::Error;
use sites::{error_sites, reached_by_cases, reason};

/// The arguments of the macro call whose text starts after its opening parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut argument, mut depth) = (Vec::new(), String::new(), 0);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                argument.push(letter);
                while let Some(inside) = letters.next() {
                    argument.push(inside);
                    match inside {
                        '\\' => argument.extend(letters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            _ => {}
        }
        argument.push(letter);
    }
    found.push(argument.trim().to_owned());
    found.retain(|argument| !argument.is_empty());
    found
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_place_that_makes_an_error_gives_a_reason() {
    let mut places = 0;
    for path in files("src", "rs").iter().filter(|path| !path.ends_with("src/errno.rs")) {
        let code = code(path);
        // A fault has the errno it was told to have, a refused call of a program what the table of calls gives it.
        let is_told = path.ends_with("host/fault.rs") || path.ends_with("abi/mod.rs");
        let makes_error = code.replace("io::Error::new(", "").contains("Error::new(");
        assert!(is_told || !makes_error, "{}: errors are made by err! and bail!", path.display());
        for (at, name) in code.match_indices("bail!(").chain(code.match_indices("err!(")) {
            let call = arguments(&code[at + name.len()..]);
            let place = format!("{}: {call:?}", path.display());
            let [errno, check, values @ ..] = &call[..] else { panic!("{place}: no reason") };
            assert!(errno.starts_with('E') && check.starts_with('"'), "{place}");
            let check = check.trim_matches('"');
            let letters = check.chars().filter(|c| c.is_alphabetic()).count();
            assert!(letters >= 2 || !values.is_empty(), "{place}: no words");
            assert_eq!(check.matches("{}").count(), values.len(), "{place}: blanks and values");
            assert!(!check.replace("\\\\", "").contains("\\n"), "{place}: more than a line");
            places += 1;
        }
    }
    assert!(places > 300, "only {places} places were found");
}

#[test]
fn each_refused_call_of_a_program_gives_a_reason() {
    let refused = Call::ALL.iter().filter_map(|call| match call.treatment() {
        Treatment::Refused { why, .. } => Some((call.name(), why)),
        Treatment::Emulated(_) | Treatment::Rewritten(_) | Treatment::Translated(_) | Treatment::Passed => None,
    });
    let refused: Vec<_> = refused.collect();
    assert!(refused.len() > 30, "only {} calls are refused", refused.len());
    for (call, why) in refused {
        let has_words = why.split_whitespace().count() >= 2;
        assert!(has_words && !why.contains("{}") && !why.contains('\n'), "{call}: {why:?}");
    }
}

fn check(error: &Error) {
    let reason = error.reason();
    assert_eq!(error.check.matches("{}").count(), error.args.len(), "{error} at {}", error.site);
    assert!(!reason.trim().is_empty() && !reason.contains('\n'), "{error} at {}", error.site);
    assert!(error.site.file().ends_with(".rs") && error.site.line() > 0);
}

/// A refusal that nothing shows to happen may be wrong, or never come about.
#[test]
fn each_place_that_refuses_is_reached_or_has_a_reason() {
    let mut refusals = 0;
    let reached = reached_by_cases(&mut |error| {
        check(error);
        refusals += 1;
    });
    let sites = error_sites();
    let (with_case, without): (Vec<_>, Vec<_>) = sites.iter().partition(|(site, _)| reached.contains(*site));
    println!("{refusals} refusals at {} of {} places", with_case.len(), sites.len());
    assert!(sites.len() > 300, "only {} places were found", sites.len());
    let missing: Vec<_> = without.iter().filter(|(site, check)| reason(site, check).is_none()).collect();
    assert!(missing.is_empty(), "no case reaches {} places: {missing:#?}", missing.len());
    let known: Vec<_> = without.iter().filter_map(|(site, check)| reason(site, check)).collect();
    let needless: Vec<_> = sites::REASONS.iter().filter(|(.., reason)| !known.contains(reason)).collect();
    assert!(needless.is_empty(), "reached, or gone: {needless:#?}");
}
