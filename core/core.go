package core

import (
	dlmv1 "dlm/api/dlm/v1"
)

// FileBlock is the unit in which FileRecord.TailCRC counts, in bytes.
const FileBlock = 4096

// Config is what a new cluster begins with.
type Config struct {
	Limits     *dlmv1.Limits
	ClusterID  [16]byte
	FirstToken uint64
}

// Core is the lock table.
type Core struct{}

// Output is what an entry brought about.
type Output struct {
	Answers []*dlmv1.Answer
	Notices []*dlmv1.Notice
	Files   []FileOp
}

// FileOpKind says what a FileOp does.
type FileOpKind uint8

// The kinds of a FileOp.
const (
	FileWrite FileOpKind = iota + 1
	FileDelete
)

// FileOp is a change of a file's bytes.
type FileOp struct {
	Kind       FileOpKind
	ID, Offset uint64
	Data       []byte
}

// FileRecord is what core knows of a file.
type FileRecord struct {
	ID           uint64
	Name, Lock   string
	Length       uint64
	CRC, TailCRC uint32
}

// DefaultLimits returns the limits of a cluster that asks for none.
func DefaultLimits() *dlmv1.Limits { panic("core: skeleton") }

// New returns an empty lock table.
func New(cfg Config) (*Core, error) { panic("core: skeleton") }

// Restore reads a Snapshot.
func Restore(data []byte) (*Core, error) { panic("core: skeleton") }

// CheckName says whether name is allowed.
func CheckName(kind, name string, limit uint64) error { panic("core: skeleton") }

func (c *Core) Apply(index, stamp uint64, requests []*dlmv1.Request) Output { panic("core: skeleton") }
func (c *Core) Lookup(req *dlmv1.Request) (answer *dlmv1.Answer, queued *dlmv1.Notice) {
	panic("core: skeleton")
}
func (c *Core) Validate(req *dlmv1.Request) *dlmv1.Answer     { panic("core: skeleton") }
func (c *Core) Now() uint64                                   { panic("core: skeleton") }
func (c *Core) NextDeadline() (stamp uint64, ok bool)         { panic("core: skeleton") }
func (c *Core) Read(r *dlmv1.Read) *dlmv1.ReadAnswer          { panic("core: skeleton") }
func (c *Core) File(name string) (FileRecord, bool)           { panic("core: skeleton") }
func (c *Core) EachFile(visit func(FileRecord))               { panic("core: skeleton") }
func (c *Core) NextFileID() uint64                            { panic("core: skeleton") }
func (c *Core) Snapshot() []byte                              { panic("core: skeleton") }
func (c *Core) Hash() uint64                                  { panic("core: skeleton") }
func (c *Core) Check() error                                  { panic("core: skeleton") }
func (c *Core) Limits() *dlmv1.Limits                         { panic("core: skeleton") }
func (c *Core) ClusterID() [16]byte                           { panic("core: skeleton") }
func (c *Core) LastToken() uint64                             { panic("core: skeleton") }
func (c *Core) SessionInstance(session uint64) (uint64, bool) { panic("core: skeleton") }
