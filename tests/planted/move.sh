# shellcheck shell=bash
# A store that moves from a file to a server.

plant sequences-not-moved src/store/transfer.rs \
  's/        let Some\(number\) = table.number else \{ continue \};/        let Some(number) = table.number.filter(|_| false) else { continue };/' \
  --test store_move numbers_go_on
plant triggers-not-put-back src/store/transfer.rs \
  's/ENABLE TRIGGER USER/DISABLE TRIGGER USER/' \
  --test store_move numbers_go_on
plant old-journal-not-marked src/cli/migrate.rs \
  's/\(Some\(journal\), Some\(identity\)\) = \(&journal, mark\)/(Some(journal), Some(identity)) = (\&journal, mark.filter(|_| false))/' \
  --test store_move everything_is_there
plant later-row-before-its-first src/store/transfer.rs \
  's/ ORDER BY rowid/ ORDER BY id/' \
  --test store_move everything_is_there
