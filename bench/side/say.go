package side

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number is a figure as people write it: 12,345 or 3.4.
func number(x float64) string {
	if x < 99.95 {
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func times(x float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0") + " x"
}

// ratio is a quotient: 2.3 x, 23 x.
func ratio(x float64) string {
	if x >= 9.95 {
		return fmt.Sprintf("%.0f x", x)
	}
	return fmt.Sprintf("%.2f x", x)
}

// fraction is a quotient below one: 1/8.2.
func fraction(x float64) string {
	if x >= 1 || x <= 0 {
		return ratio(x)
	}
	return fmt.Sprintf("1/%.1f", 1/x)
}
