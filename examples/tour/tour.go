// Package tour holds the Go code of the README.
package tour

import (
	"context"

	"dlm/client"
)

// Report writes the daily report, on one machine of many.
func Report(ctx context.Context, writeReport func(ctx context.Context, token uint64) error) error {
	c, err := client.Dial("127.0.0.1:50051")
	if err != nil {
		return err
	}
	defer c.Close()

	s, err := c.OpenSession(ctx)
	if err != nil {
		return err
	}
	defer s.Close(ctx)

	return s.Do(ctx, "reports/daily", func(ctx context.Context, l *client.Lock) error {
		// ctx ends when the lock is about to be lost; context.Cause(ctx) says why.
		return writeReport(ctx, l.Token())
	})
}
