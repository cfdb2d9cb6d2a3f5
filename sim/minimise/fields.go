package minimise

import (
	"math"
	"reflect"
	"strings"

	"dlm/sim"
)

// config makes the world simpler: first all of the network's faults at once, then field by field.
func (m *minimiser) config() {
	m.try(func(p *sim.Plan) { only(p, nil) })
	m.simplify(func(p *sim.Plan) any { return &p.Config })
}

// fields makes what is left of the lists simpler.
func (m *minimiser) fields() {
	for i := range m.plan.Faults {
		m.simplify(func(p *sim.Plan) any { return &p.Faults[i] })
	}
	for i := range m.plan.Actors {
		m.simplify(func(p *sim.Plan) any { return &p.Actors[i] })
		for j := range m.plan.Actors[i].Ops {
			m.simplify(func(p *sim.Plan) any { return &p.Actors[i].Ops[j] })
		}
	}
}

// simplify tries simpler values for every field of a struct that the plan holds at a place. It goes by reflection, so that
// fields which are added to plans later are made simpler too.
func (m *minimiser) simplify(part func(*sim.Plan) any) {
	count := len(leaves(reflect.ValueOf(part(&m.plan)).Elem(), nil))
	for n := range count {
		field := func(p *sim.Plan) reflect.Value { return leaves(reflect.ValueOf(part(p)).Elem(), nil)[n] }
		for _, v := range simpler(field(&m.plan)) {
			if m.try(func(p *sim.Plan) { field(p).Set(v) }) {
				break
			}
		}
	}
}

// leaves are the fields of a struct that hold a number, a truth value or a choice, those of inner structs included. Names
// are left out, and the sizes of the server's files: 0 stands for their defaults, which are large and make every run slow.
func leaves(v reflect.Value, found []reflect.Value) []reflect.Value {
	for i := range v.NumField() {
		f := v.Field(i)
		switch name := v.Type().Field(i).Name; {
		case name == "Kind" || name == "Lock" || name == "File":
			continue
		case name != "Bytes" && strings.HasSuffix(name, "Bytes"):
			continue
		}
		switch f.Kind() {
		case reflect.Struct:
			found = leaves(f, found)
		case reflect.Bool, reflect.String, reflect.Int, reflect.Int64, reflect.Uint64:
			found = append(found, f)
		}
	}
	return found
}

// simpler are the values to try for a field, the simplest first.
func simpler(v reflect.Value) []reflect.Value {
	if v.IsZero() {
		return nil
	}
	values := []reflect.Value{reflect.Zero(v.Type())}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		if n := v.Int(); n >= 2 && n < 10 { // a number of times
			values = append(values, reflect.ValueOf(int64(1)).Convert(v.Type()))
		}
		if n := rounder(v.Int()); n != v.Int() {
			values = append(values, reflect.ValueOf(n).Convert(v.Type()))
		}
	case reflect.Uint64:
		if n := v.Uint(); n <= math.MaxInt64 && rounder(int64(n)) != int64(n) {
			values = append(values, reflect.ValueOf(uint64(rounder(int64(n)))).Convert(v.Type()))
		}
	}
	return values
}

// rounder keeps the first digit of a number, so that a reader has less to read: 193.284784ms becomes 100ms.
func rounder(n int64) int64 {
	if n < 0 {
		return n
	}
	unit := int64(1)
	for n/unit >= 10 {
		unit *= 10
	}
	return n / unit * unit
}
