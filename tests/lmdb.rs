//! Our LMDB reader and writer against the C library, in both directions.
#![allow(unsafe_code, reason = "the C library maps files, which only its callers can promise to leave alone")]

use std::{collections::BTreeMap, path::Path};

use cnnctl::data::lmdb::{Reader, Writer};
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, types::Bytes};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
type Plain<'e> = Database<'e, Bytes, Bytes>;

/// Keys and values of many lengths, around all limits of a page; `n` up to some thousands.
fn entries(n: usize) -> Entries {
    let value =
        |i: usize| vec![(i % 251) as u8; [3, 0, 784, 1990, 2030, 2031, 4080, 4081, 12_345][i * 5 % 9]];
    (0..n).map(|i| (format!("{i:08}_{}", "k".repeat(i * 11 % 480)).into_bytes(), value(i))).collect()
}

fn open(path: &Path) -> Env {
    // SAFETY: nothing else changes the file in the test's own folder.
    unsafe { EnvOpenOptions::new().map_size(1 << 30).open(path) }.unwrap()
}

fn with_database<R>(env: &Env, run: impl FnOnce(&mut heed::RwTxn<'_>, Plain<'_>) -> R) -> R {
    let txn = env.write_txn().unwrap();
    let db: Plain<'_> = env
        .create_databases_and_commit(txn, |create, txn| {
            let db = create.create_database(txn, None)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(db))
        })
        .unwrap()
        .unwrap_commit();
    let mut txn = env.write_txn().unwrap();
    let result = run(&mut txn, db);
    txn.commit().unwrap();
    result
}

#[test]
fn the_c_library_reads_and_extends_what_we_write() {
    for n in [0, 1, 2, 40, 5000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut expected = entries(n);
        let mut writer = Writer::create(&path).unwrap();
        for (key, value) in &expected {
            writer.put(key, value).unwrap();
        }
        writer.finish().unwrap();
        let env = open(&path);
        with_database(&env, |txn, db| {
            let read: Vec<_> = db.iter(txn).unwrap().map(Result::unwrap).collect();
            assert!(
                read.iter().map(|(k, v)| (*k, *v)).eq(expected.iter().map(|(k, v)| (&k[..], &v[..]))),
                "{n}"
            );
            for (key, value) in entries(n + 300).into_iter().skip(n) {
                db.put(txn, &key, &value).unwrap();
                expected.insert(key, value);
            }
            for key in expected.keys().step_by(3).cloned().collect::<Vec<_>>() {
                assert!(db.delete(txn, &key).unwrap());
                expected.remove(&key);
            }
        });
        compare(&Reader::open(&path).unwrap(), &expected);
    }
}

#[test]
fn we_read_what_the_c_library_writes_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let expected = entries(3000);
    let env = open(folder.path());
    for part in 0..4 {
        with_database(&env, |txn, db| {
            for (key, value) in expected.iter().rev().skip(part).step_by(4) {
                db.put(txn, key, value).unwrap();
            }
        });
    }
    compare(&Reader::open(folder.path()).unwrap(), &expected);
}

fn compare(reader: &Reader, expected: &Entries) {
    assert_eq!(reader.len(), expected.len());
    for (i, (key, value)) in expected.iter().enumerate() {
        assert_eq!(reader.get(i).unwrap(), (key.clone(), value.clone()), "entry {i}");
    }
}
