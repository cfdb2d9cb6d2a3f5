package run

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tableWidth is where lines of a Table are broken.
const tableWidth = 120

// Table prints counts under a title, in the order of their names, in lines of a readable width. Names of the form
// "group: member" stand in a paragraph of their group.
func Table(title string, counts map[string]int) string {
	groups := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		group, member, ok := strings.Cut(name, ": ")
		if !ok {
			group, member = "", name
		}
		groups[group] = append(groups[group], fmt.Sprintf("%s %d", member, counts[name]))
	}
	var b strings.Builder
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		head := title
		if group != "" {
			head = title + ", " + group
		}
		wrap(&b, head+": ", groups[group])
	}
	return b.String()
}

func wrap(b *strings.Builder, head string, items []string) {
	width, _ := b.WriteString(head)
	for i, item := range items {
		if i < len(items)-1 {
			item += ", "
		}
		if width+len(item) > tableWidth {
			b.WriteString("\n    ")
			width = 4
		}
		b.WriteString(item)
		width += len(item)
	}
	b.WriteString("\n")
}
