package fencing

import (
	"context"
	"database/sql"
	"fmt"
)

// Schema has the column that makes the difference: the highest token that has written the row.
const Schema = `CREATE TABLE account (
	id      BIGINT PRIMARY KEY,
	balance BIGINT NOT NULL,
	fence   BIGINT NOT NULL DEFAULT 0
)`

// SetBalance writes under a lock's token. Comparing, remembering and writing are one statement, so that nothing can come
// between them. Tokens fit into a signed 64-bit column.
func SetBalance(ctx context.Context, db *sql.DB, id, balance int64, token uint64) error {
	done, err := db.ExecContext(ctx,
		`UPDATE account SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2`, balance, int64(token), id)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err != nil || n == 1 {
		return err
	}
	var seen int64
	if err := db.QueryRowContext(ctx, `SELECT fence FROM account WHERE id = $1`, id).Scan(&seen); err != nil {
		return fmt.Errorf("fencing: account %d: %w", id, err)
	}
	return &StaleError{Token: token, Seen: uint64(seen)}
}
