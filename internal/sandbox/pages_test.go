package sandbox

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

// The edge of a field or button stands out from the card and the ground, in both themes (WCAG 2.2, 1.4.11: 3 to 1).
func TestControlEdges(t *testing.T) {
	colors := map[string][]string{} // the light one and the dark one
	for _, m := range regexp.MustCompile(`--(control|card|page): #([0-9a-f]{3,6})`).FindAllStringSubmatch(pageStyle, -1) {
		colors[m[1]] = append(colors[m[1]], m[2])
	}
	for name, both := range colors {
		if len(both) != 2 {
			t.Fatalf("--%s has %d values, want one for each theme", name, len(both))
		}
	}
	for theme := range 2 {
		edge := luminance(t, colors["control"][theme])
		for _, name := range []string{"card", "page"} {
			around := luminance(t, colors[name][theme])
			ratio := (max(edge, around) + 0.05) / (min(edge, around) + 0.05)
			if ratio < 3 {
				t.Errorf("theme %d: --control on --%s is %.2f to 1, want 3", theme, name, ratio)
			}
		}
	}
	if used := regexp.MustCompile(`(?m)^(input|button) \{[^}]*border: 1px solid var\(--control\)`).FindAllString(pageStyle, -1); len(used) != 2 {
		t.Errorf("%d of input and button have the edge --control, want both", len(used))
	}
}

// luminance is the relative luminance of a color of three or six hexadecimal digits (WCAG 2.2).
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	if len(color) == 3 {
		color = string([]byte{color[0], color[0], color[1], color[1], color[2], color[2]})
	}
	n, err := strconv.ParseUint(color, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(shift uint) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}
