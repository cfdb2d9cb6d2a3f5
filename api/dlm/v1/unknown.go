package dlmv1

// Understood says of each message of a request whether it holds no field that this version does not know. Protobuf's reflection knows it
// too, at a price that every request would pay twice.

func (x *Request) Understood() bool       { return len(x.unknownFields) == 0 }
func (x *Open) Understood() bool          { return len(x.unknownFields) == 0 }
func (x *Attach) Understood() bool        { return len(x.unknownFields) == 0 }
func (x *KeepAlive) Understood() bool     { return len(x.unknownFields) == 0 }
func (x *Close) Understood() bool         { return len(x.unknownFields) == 0 }
func (x *Acquire) Understood() bool       { return len(x.unknownFields) == 0 }
func (x *Cancel) Understood() bool        { return len(x.unknownFields) == 0 }
func (x *Release) Understood() bool       { return len(x.unknownFields) == 0 }
func (x *Renew) Understood() bool         { return len(x.unknownFields) == 0 }
func (x *Revoke) Understood() bool        { return len(x.unknownFields) == 0 }
func (x *RevokeSession) Understood() bool { return len(x.unknownFields) == 0 }
func (x *Append) Understood() bool        { return len(x.unknownFields) == 0 }
func (x *Delete) Understood() bool        { return len(x.unknownFields) == 0 }
func (x *SetLimits) Understood() bool     { return len(x.unknownFields) == 0 }
func (x *Limits) Understood() bool        { return len(x.unknownFields) == 0 }
