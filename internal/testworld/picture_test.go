package testworld

import "testing"

func TestSteady(t *testing.T) {
	for line, want := range map[string]string{
		"  ok cloned  (1227 ms)":                             "ok cloned (0 ms)",
		"This Clerk's tokens live 1m0s. The next":            "This Clerk's tokens live 0s. The next",
		"This Clerk's tokens live 7s. The next":              "This Clerk's tokens live 0s. The next",
		"Done in 9.6 s.":                                     "Done in 0 s.",
		"manifest of 423 bytes, sha256:34c88f7792...":        "manifest of 0 bytes, SUM...",
		"clerk:  asked for keys, discovery, code for tokens": "clerk: asked for code for tokens, discovery, keys",
	} {
		if got := steady(line); got != want {
			t.Errorf("%q: %q, not %q", line, got, want)
		}
	}
}
