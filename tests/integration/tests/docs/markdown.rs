//! As much of Markdown as the pages use.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

const FRESH: &str = "<!-- test: fresh -->";

/// What a section finds in its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The extension, set up.
    SetUp,
    /// Nothing.
    Fresh,
}

/// An error that a block announces.
#[derive(Debug)]
pub struct Expected {
    /// Lines of the page.
    pub lines: RangeInclusive<usize>,
    pub sqlstate: String,
}

/// The examples of a page that run in one session.
#[derive(Debug)]
pub struct Section {
    pub start: Start,
    /// Line by line the page, with everything but the examples left empty.
    pub script: String,
    pub errors: Vec<Expected>,
    pub results: Vec<Announced>,
    pub blocks: usize,
}

/// A result that stands in a comment behind its statement: `SELECT 1 + 1;      -- 2: a sum`.
#[derive(Debug)]
pub struct Announced {
    /// What the script prints after the result.
    pub marker: String,
    pub comment: String,
}

/// A fence that is open.
enum Fence {
    Sql,
    Failing { first: usize, sqlstate: String },
    Other,
}

struct Reader {
    done: Vec<Section>,
    current: Section,
}

/// The sections of a page that have examples.
pub fn sections(page: &str) -> Result<Vec<Section>, String> {
    let mut reader = Reader {
        done: Vec::new(),
        current: section(Start::SetUp, 0),
    };
    let mut open = None;
    for (index, line) in page.lines().enumerate() {
        open = reader
            .line(index + 1, line, open)
            .map_err(|problem| format!("line {}: {problem}", index + 1))?;
        reader.current.script.push('\n');
    }
    if open.is_some() {
        return Err("a fence is not closed".to_owned());
    }
    reader.done.push(reader.current);
    reader.done.retain(|section| section.blocks > 0);
    Ok(reader.done)
}

fn section(start: Start, empty_lines: usize) -> Section {
    Section {
        start,
        script: "\n".repeat(empty_lines),
        errors: Vec::new(),
        results: Vec::new(),
        blocks: 0,
    }
}

impl Reader {
    fn line(
        &mut self,
        number: usize,
        line: &str,
        open: Option<Fence>,
    ) -> Result<Option<Fence>, String> {
        match (open, line.trim_end().strip_prefix("```")) {
            (None, Some(info)) => self.open(number, info).map(Some),
            (None, None) if line == FRESH => {
                let next = section(Start::Fresh, number - 1);
                self.done.push(std::mem::replace(&mut self.current, next));
                Ok(None)
            }
            (None, None) => Ok(None),
            (Some(Fence::Failing { first, sqlstate }), Some("")) => {
                self.current.script.push_str(r"\set ON_ERROR_STOP on");
                self.current.errors.push(Expected {
                    lines: first..=number,
                    sqlstate,
                });
                Ok(None)
            }
            (Some(_), Some("")) => Ok(None),
            (Some(Fence::Other), _) => Ok(Some(Fence::Other)),
            (open, _) => {
                self.statement(number, line);
                Ok(open)
            }
        }
    }

    /// Passes a line on; where it announces a result, with a marker behind the result.
    fn statement(&mut self, number: usize, line: &str) {
        self.current.script.push_str(line);
        if let Some((_, comment)) = line.split_once(";      -- ") {
            let marker = format!("@{number}");
            let end = self.current.script.len() - comment.len() - "-- ".len();
            self.current.script.truncate(end);
            write!(self.current.script, r"\echo {marker}").unwrap();
            let comment = comment.to_owned();
            self.current.results.push(Announced { marker, comment });
        }
    }

    fn open(&mut self, number: usize, info: &str) -> Result<Fence, String> {
        let words: Vec<&str> = info.split_whitespace().collect();
        match words[..] {
            ["sql"] => {
                self.current.blocks += 1;
                Ok(Fence::Sql)
            }
            ["sql", option] => {
                let sqlstate = option.strip_prefix("error=").filter(|code| code.len() == 5);
                let sqlstate = sqlstate.ok_or_else(|| format!("what is {option}?"))?;
                self.current.blocks += 1;
                self.current.script.push_str(r"\set ON_ERROR_STOP off");
                Ok(Fence::Failing {
                    first: number,
                    sqlstate: sqlstate.to_owned(),
                })
            }
            [_] => Ok(Fence::Other),
            _ => Err(format!("a fence with {} words", words.len())),
        }
    }
}

/// From a heading to the next of the same or a higher level.
pub fn part<'t>(text: &'t str, heading: &str) -> &'t str {
    let start = text.find(&format!("\n{heading}\n"));
    let start = start.unwrap_or_else(|| panic!("there is no heading {heading}")) + 1;
    let level = heading.split(' ').next().unwrap().len();
    let rest = &text[start + heading.len()..];
    let ends = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
    let end = ends.min().unwrap_or(rest.len());
    &rest[..end]
}

/// The content of the blocks whose fence begins with `language`.
pub fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fences = text.split("\n```").skip(1).step_by(2);
    fences
        .filter_map(|block| {
            let (info, content) = block.split_once('\n')?;
            (info.split(' ').next() == Some(language)).then_some(content)
        })
        .collect()
}

/// The cells of every row of every table.
pub fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| {
        row.trim_end_matches('|')
            .split(" |")
            .map(str::trim)
            .collect()
    })
    .collect()
}

/// The targets of links that are no web addresses.
pub fn links(text: &str) -> Vec<&str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.starts_with("https://"))
        .collect()
}

/// The anchors of the headings, made as the usual viewers make them.
pub fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                letter => letter.is_alphanumeric().then_some(letter),
            });
            kept.collect()
        })
        .collect()
}
