package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// TestDefinitions compares definitions with the decoder, over every file of up to four of these lines.
func TestDefinitions(t *testing.T) {
	lines := []string{
		"[a]", "[a.b]", "[a.b.c]", "[b]",
		"a = 1", "a.b = 1", "a.b.c = 1", "b = 1", "b.c = 1", "c = 1",
		"a = {}", "a = {b = {}}", "a = {b.c = 1, b.d = 1}", "a.b = {c = 1, c.d = 1}", "b = {c = 1, c = 1}", "b.c = {}",
	}
	check := func(text string) bool {
		var decoded map[string]any
		decodes := toml.Unmarshal([]byte(text), &decoded) == nil
		defined, allowed := newDefinitions(0), true
		var parser unstable.Parser
		for parser.Reset([]byte(text)); allowed && parser.NextExpression(); {
			allowed = defined.allow(parser.Expression())
		}
		if parser.Error() != nil || allowed != decodes {
			t.Errorf("allowed: %t, %v; the decoder says %t:\n%s", allowed, parser.Error(), decodes, text)
		}
		return decodes
	}
	var grow func(text string, more int) (allowed, refused int)
	grow = func(text string, more int) (allowed, refused int) {
		if !check(text) {
			return 0, 1 // no line after it would change that
		}
		allowed = 1
		if more == 0 {
			return allowed, refused
		}
		for _, line := range lines {
			a, r := grow(text+line+"\n", more-1)
			allowed, refused = allowed+a, refused+r
		}
		return allowed, refused
	}
	if allowed, refused := grow("", 4); allowed < 1000 || refused < 1000 {
		t.Errorf("%d files were allowed and %d refused: too few to compare", allowed, refused)
	}
}

// largeFiles writes n profiles, or a list of n entries, in each of the ways that a file may be large in.
func largeFiles(n int) map[string]string {
	const one = "[profiles.p]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"abc\"\n"
	repeat := func(format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	return map[string]string{
		"tables":       repeat("[profiles.p%[1]d]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"abc\"\nhosts = [\"h%[1]d.acme.dev\"]\n"),
		"dotted keys":  repeat("profiles.p%[1]d.issuer = \"https://c.dev\"\nprofiles.p%[1]d.client_id = \"abc\"\nprofiles.p%[1]d.hosts = [\"h%[1]d.a\"]\n"),
		"inline table": "[profiles]\n" + repeat("p%[1]d = {issuer = \"https://clerk.acme.dev\", client_id = \"abc\", hosts = [\"h%[1]d.acme.dev\"]}\n"),
		"hosts":        one + "hosts = [" + repeat(`"h%d.acme.dev", `) + "]\n",
		"scopes":       one + "hosts = [\"git.acme.dev\"]\nscopes = [" + repeat(`"scope%d", `) + "]\n",
	}
}

// readAll is what a get does with a configuration.
func readAll(t testing.TB, text string) {
	c, err := Parse("c.toml", []byte(text))
	if err == nil {
		c, err = Merge(nil, c, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.Match("https", "git.foreign.dev") != nil {
		t.Fatal("a foreign host matches")
	}
}

// TestLargeFile compares one file with a hundred that have a hundredth of its entries each. Where the time grows with the
// square, the one file takes up to a hundred times as long as all of them.
func TestLargeFile(t *testing.T) {
	const entries, parts, most = 9000, 100, 20
	small := largeFiles(entries / parts)
	for name, large := range largeFiles(entries) {
		var whole, split []time.Duration
		for range 5 {
			began := time.Now()
			readAll(t, large)
			whole = append(whole, time.Since(began))
			began = time.Now()
			for range parts {
				readAll(t, small[name])
			}
			split = append(split, time.Since(began))
		}
		if w, s := slices.Min(whole), slices.Min(split); w > most*s {
			t.Errorf("%s: %d entries took %v, and %v in %d files", name, entries, w, s, parts)
		} else {
			t.Logf("%s: %d bytes, %d entries took %v, and %v in %d files", name, len(large), entries, w, s, parts)
		}
	}
}

func BenchmarkLargeFile(b *testing.B) {
	for name, text := range largeFiles(9000) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				readAll(b, text)
			}
		})
	}
}
