package grpcserver

import (
	"fmt"

	"google.golang.org/grpc"
)

// raw is a codec that passes bytes as they are, under protobuf's name.
type raw struct{}

func rawCodec() grpc.CallOption { return grpc.ForceCodec(raw{}) }

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("got %T", v)
	}
	return b, nil
}

func (raw) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), b...)
	return nil
}
