package console

import (
	"strings"
	"testing"
)

// TestQRFits: a code is drawn only where it fits, since what stands above it would be scrolled away.
func TestQRFits(t *testing.T) {
	const address = "https://clerk.acme.dev/device?user_code=BCDF-GHJK" // 29 modules and the margin: 37 columns, 19 rows
	for _, row := range []struct {
		reason        string
		columns, rows int
		drawn         bool
	}{
		{"just fits", 37, 19, true},
		{"much room", 200, 60, true},
		{"a column too few", 36, 60, false},
		{"a row too few", 200, 18, false},
		{"no room at all", 80, -3, false},
	} {
		got := (&Screen{}).drawQR(address, row.columns, row.rows)
		if (got != "") != row.drawn || strings.Count(got, "\n") > max(row.rows, 0) {
			t.Errorf("%s: %d rows are drawn", row.reason, strings.Count(got, "\n"))
		}
	}
	if (&Screen{}).drawQR("", 80, 24) != "" {
		t.Error("nothing is drawn as something")
	}
	for text, want := range map[string]int{"a": 1, "a\nb\n": 3, strings.Repeat("é", 80): 1, strings.Repeat("x", 81): 2, "  " + strings.Repeat("x", 160) + "\n": 4} {
		if got := shownRows(text, 80); got != want {
			t.Errorf("%q takes %d rows, not %d", text, got, want)
		}
	}
}
