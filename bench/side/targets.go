package side

// target is a row of the table of what we set out to reach.
type target struct {
	row, against     string
	workload         string
	ours, theirs     string // theirs "" = a figure of ours alone
	of               metric
	least, stretch   float64
	fewer            bool   // of is a cost: the ratio is ours / theirs, to be below 1 / least
	targetIs, unless string // in words; unless = what is reached beyond
}

func faster(row, workload, ours, against, theirs string, of metric, least, stretch float64) target {
	return target{
		row: row, against: against, workload: workload, ours: ours, theirs: theirs, of: of, least: least, stretch: stretch,
		targetIs: times(least), unless: times(stretch),
	}
}

var targets = []target{
	faster("uncontended pairs, 1 worker", "pairs-1", "dlm", "etcd", "etcd", rate, 1.6, 2),
	faster("uncontended pairs, 1 worker", "pairs-1", "dlm", "Redis, synced", "redis", rate, 0.8, 1),
	faster("64 workers", "pairs-64", "dlm", "etcd", "etcd", rate, 4.5, 6),
	faster("64 workers", "pairs-64", "dlm", "Redis, synced", "redis", rate, 1.2, 1.5),
	faster("1,024 workers", "pairs-1024", "dlm", "etcd", "etcd", rate, 7, 10),
	faster("1,024 workers", "pairs-1024", "dlm", "Redis, synced", "redis", rate, 3.5, 5),
	faster("owner changes of one lock, 8 workers", "handoff-8", "dlm", "ZooKeeper", "zookeeper", changes, 2.2, 3.5),
	faster("owner changes of one lock, 8 workers", "handoff-8", "dlm", "etcd", "etcd", changes, 22, 35),
	faster("unary calls, 64 workers", "pairs-64", "dlm-unary", "etcd", "etcd", rate, 1.6, 2),
	faster("locks acquired by one session, 64 callers", "held", "dlm", "etcd", "etcd", rate, 5, 8),
	{
		row: "server CPU a pair, 1,024 workers", against: "etcd", workload: "pairs-1024", ours: "dlm", theirs: "etcd", of: serverCPU,
		least: 8, stretch: 20, fewer: true, targetIs: "1/8", unless: "1/20",
	},
	{
		row: "p99 of a pair at half of the peak rate", against: "its median", workload: "half", ours: "dlm", of: tail,
		least: 5, stretch: 3, fewer: true, targetIs: "under 5 x", unless: "under 3 x",
	},
}

// outcome is a target with what was measured.
type outcome struct {
	target
	got      Spread
	measured bool
}

func (r *Results) outcomes() (all []outcome) {
	for _, t := range targets {
		o := outcome{target: t}
		if t.theirs == "" {
			o.got, o.measured = r.Of(t.workload, t.ours, t.of)
		} else {
			o.got, o.measured = r.Ratio(t.workload, t.ours, t.theirs, t.of)
		}
		all = append(all, o)
	}
	return all
}

// reached says it in a word.
func (o outcome) reached() string {
	if !o.measured {
		return "not measured"
	}
	beyond := func(mark float64) bool {
		switch {
		case !o.fewer:
			return o.got.Median >= mark
		case o.theirs == "":
			return o.got.Median < mark
		}
		return o.got.Median <= 1/mark
	}
	switch {
	case beyond(o.stretch):
		return "stretch"
	case beyond(o.least):
		return "reached"
	}
	return "**missed**"
}
