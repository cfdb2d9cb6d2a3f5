package fencing

import (
	"context"
	"errors"
	"strconv"
)

// Bucket is what an object store has to offer: metadata with each object, and a write that takes place only if the object is
// still the one that was read (If-Match with its ETag; If-None-Match: * where there is none).
type Bucket interface {
	// Head returns the metadata and the ETag of an object, "" if there is none.
	Head(ctx context.Context, key string) (metadata map[string]string, etag string, err error)
	// Put fails with ErrChanged if the object's ETag is not etag ("" = there must be none).
	Put(ctx context.Context, key, etag string, metadata map[string]string, data []byte) error
}

// ErrChanged is a Bucket's "412 Precondition Failed".
var ErrChanged = errors.New("fencing: the object has changed")

// PutFenced writes an object under a lock's token, which it keeps in the object's metadata. The conditional write makes
// comparing and writing one step: if anybody wrote in between, it looks again.
func PutFenced(ctx context.Context, b Bucket, key string, token uint64, data []byte) error {
	const name = "fencing-token"
	for {
		metadata, etag, err := b.Head(ctx, key)
		if err != nil {
			return err
		}
		if etag != "" {
			seen, err := strconv.ParseUint(metadata[name], 10, 64)
			if err != nil {
				return err // somebody writes here without a token
			}
			if token < seen {
				return &StaleError{Token: token, Seen: seen}
			}
		}
		err = b.Put(ctx, key, etag, map[string]string{name: strconv.FormatUint(token, 10)}, data)
		if !errors.Is(err, ErrChanged) {
			return err
		}
	}
}
