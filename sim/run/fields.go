package run

import (
	"fmt"
	"reflect"
	"strings"
)

// fields prints those fields of a struct that are not zero, by reflection, so that fields which are added to plans later
// are printed too.
func fields(v any) string {
	var parts []string
	rv := reflect.ValueOf(v)
	for i := range rv.NumField() {
		name, value := rv.Type().Field(i).Name, rv.Field(i)
		switch {
		case value.IsZero():
		case value.Kind() == reflect.Bool:
			parts = append(parts, name)
		case value.Kind() == reflect.String && name == "Kind":
			parts = append([]string{value.String()}, parts...)
		default:
			parts = append(parts, fmt.Sprintf("%s %v", name, value.Interface()))
		}
	}
	if len(parts) == 0 {
		return "perfect"
	}
	return strings.Join(parts, ", ")
}
