//! Where the columns lie in the io words: chosen by JavaScript, read and checked once per binding.

use crate::arguments::Options;
use crate::control::Arguments;
use crate::errors::{Failure, Result};
use crate::shared::{Column, Words};

/// A worker's io array with its layout.
pub struct Io<'a> {
    pub words: Words,
    layout: Options<'a>,
}

/// Most lanes, messages or extents that a layout may ask for: scratch is allocated by them.
const ROWS_MAX: i64 = 1 << 16;

impl<'a> Io<'a> {
    /// Takes io and layout from the arguments `at` and `at + 1`.
    pub fn new(arguments: &'a Arguments, at: usize) -> Result<Self> {
        let words = Words::new(arguments.env, arguments.raw(at), &format!("{}: io", arguments.function))?;
        let owner = format!("{}: layout", arguments.function);
        let layout = Options::new(arguments.value(at + 1)?, owner.clone(), &owner)?;
        Ok(Io { words, layout })
    }

    /// One of the sizes: burst, messages, extents.
    pub fn size(&self, name: &str) -> Result<usize> {
        Ok(self.layout.integer(name, 1..=ROWS_MAX)? as usize)
    }

    pub fn column(&self, name: &str, len: usize) -> Result<Column> {
        let at = self.layout.integer(name, 0..=i64::from(i32::MAX))? as usize;
        self.column_at(name, at, len)
    }

    pub fn column_at(&self, name: &str, at: usize, len: usize) -> Result<Column> {
        let (end, limit) = (at + len, self.words.len());
        if end > limit {
            return Err(Failure::Range(format!("{name} ends at word {end}, io has {limit}")));
        }
        Ok(self.words.column(at, len))
    }

    pub fn counters(&self) -> Result<Column> {
        self.column("counters", 16)
    }

    /// The four clock words; the last two hold a double.
    pub fn clock(&self) -> Result<Column> {
        let column = self.column("clock", 4)?;
        let at = self.layout.integer("clock", 0..=i64::from(i32::MAX))? as usize;
        if !self.words.is_double_aligned(at + 2) {
            return Err(Failure::Range("layout: clock + 2 must lie on a multiple of 8 bytes".to_owned()));
        }
        Ok(column)
    }
}
