//! A database of `Datum` messages as a source of samples.

use super::{
    super::{DataError, Decode, Location, Sample, Source, datum},
    Reader,
};

pub(crate) fn open(location: &Location) -> Result<Box<dyn Source>, DataError> {
    Ok(Box::new(LevelDb { reader: Reader::open(&location.path)?, decode: location.decode }))
}

struct LevelDb {
    reader: Reader,
    decode: Decode,
}

impl Source for LevelDb {
    fn len(&self) -> usize {
        self.reader.len()
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let (key, value) = self.reader.get(index)?;
        datum::sample(&value, datum::key_text(&key), self.decode)
            .map_err(|(key, problem)| DataError::sample(self.reader.path(), key, problem))
    }

    fn name(&self) -> String {
        self.reader.path().display().to_string()
    }
}
