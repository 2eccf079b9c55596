package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// credentials is a store in memory with Windows' limit, which fails on demand: left counts the changes that still
// succeed before all fail, as if the process had ended there. Negative means never.
type credentials struct {
	mu    sync.Mutex
	items map[string]string
	left  int
}

var errEnded = errors.New("the process ended")

func newCredentials() *credentials { return &credentials{items: map[string]string{}, left: -1} }

func (c *credentials) read(target string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	blob, ok := c.items[target]
	if !ok {
		return nil, ErrNotFound
	}
	return []byte(blob), nil
}

func (c *credentials) write(target string, blob []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(blob) > 2560 {
		return fmt.Errorf("%d bytes in one credential", len(blob))
	}
	if err := c.change(); err != nil {
		return err
	}
	c.items[target] = string(blob)
	return nil
}

func (c *credentials) remove(target string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, each := range slices.Sorted(maps.Keys(c.items)) { // target sorts before everything below it
		if each == target || strings.HasPrefix(each, target+"/") {
			if err := c.change(); err != nil {
				return err
			}
			delete(c.items, each)
		}
	}
	return nil
}

func (c *credentials) change() error {
	if c.left == 0 {
		return errEnded
	}
	c.left--
	return nil
}

// partsKeychain is the Windows keychain over another store.
type partsKeychain struct{ *credentials }

func (p partsKeychain) get(_ context.Context, name string) (string, error) { return readParts(p, name) }
func (p partsKeychain) set(_ context.Context, name, secret string) error {
	return writeParts(p, name, secret)
}
func (p partsKeychain) delete(_ context.Context, name string) error { return removeParts(p, name) }

// NewPartsKeychain returns a keychain for the contract and checks at the end that no part was left behind.
func NewPartsKeychain(t *testing.T) *Keychain {
	c := newCredentials()
	t.Cleanup(func() {
		if len(c.items) != 0 {
			t.Errorf("%d credentials were left behind", len(c.items))
		}
	})
	return &Keychain{store: partsKeychain{c}}
}

func TestPartsCount(t *testing.T) {
	for _, row := range []struct{ size, credentials int }{
		{1, 2}, {2560, 2}, {2561, 3}, {16 << 10, 8}, {64 << 10, 27},
	} {
		c := newCredentials()
		for range 3 { // a replace leaves no old parts
			if err := writeParts(c, "item", strings.Repeat("x", row.size)); err != nil {
				t.Fatal(err)
			}
			if len(c.items) != row.credentials {
				t.Errorf("%d bytes take %d credentials, want %d", row.size, len(c.items), row.credentials)
			}
		}
	}
}

// TestPartsInterrupted ends a replace after each single change: the reader has the old secret or the new one, the next
// write works, and a delete leaves nothing, not even parts of interrupted writes.
func TestPartsInterrupted(t *testing.T) {
	const target = "clerk-credential-helper:session"
	older, newer := strings.Repeat("old", 2000), strings.Repeat("new", 3000)
	outcomes := map[string]int{}
	for left := 0; ; left++ {
		c := newCredentials()
		if err := writeParts(c, target, older); err != nil {
			t.Fatal(err)
		}
		c.left = left
		err := writeParts(c, target, newer)
		c.left = -1
		got, readErr := readParts(c, target)
		if readErr != nil || got != older && got != newer {
			t.Fatalf("ended after %d changes: the reader has %d bytes, %v", left, len(got), readErr)
		}
		outcomes[got]++
		if err == nil {
			if got != newer {
				t.Fatalf("a write without an error left the old secret")
			}
			break
		}
		if err := writeParts(c, target, newer); err != nil {
			t.Fatalf("ended after %d changes: the next write: %v", left, err)
		}
		if err := removeParts(c, target); err != nil {
			t.Fatal(err)
		}
		if len(c.items) != 0 {
			t.Fatalf("ended after %d changes: the delete left %d credentials", left, len(c.items))
		}
	}
	if outcomes[older] < 2 || outcomes[newer] < 2 {
		t.Errorf("old %d times and new %d times, want both", outcomes[older], outcomes[newer])
	}
}

func TestPartsDeleteInterrupted(t *testing.T) {
	for left := range 3 {
		c := newCredentials()
		if err := writeParts(c, "item", strings.Repeat("x", 6000)); err != nil {
			t.Fatal(err)
		}
		c.left = left
		if err := removeParts(c, "item"); !errors.Is(err, errEnded) {
			t.Fatalf("delete with %d changes: %v", left, err)
		}
		c.left = -1
		_, err := readParts(c, "item")
		if want := left > 0; errors.Is(err, ErrNotFound) != want {
			t.Errorf("after %d changes of a delete: %v, want not found = %v", left, err, want)
		}
	}
}

func TestPartsDamaged(t *testing.T) {
	for _, row := range []struct {
		reason string
		damage func(c *credentials)
	}{
		{"a part is missing", func(c *credentials) { c.each("/1", func(t string) { delete(c.items, t) }) }},
		{"a part has changed", func(c *credentials) { c.each("/0", func(t string) { c.items[t] = "x" + c.items[t][1:] }) }},
		{"a part is cut", func(c *credentials) { c.each("/1", func(t string) { c.items[t] = c.items[t][1:] }) }},
		{"parts are swapped", func(c *credentials) {
			c.each("/0", func(t string) { one := t[:len(t)-1] + "1"; c.items[t], c.items[one] = c.items[one], c.items[t] })
		}},
		{"not a manifest", func(c *credentials) { c.items["item"] = "a token from elsewhere" }},
		{"a manifest of a version to come", func(c *credentials) { c.replace(`"v":1`, `"v":2`) }},
		{"no parts", func(c *credentials) { c.replace(`"parts":2`, `"parts":0`) }},
		{"fewer parts", func(c *credentials) { c.replace(`"parts":2`, `"parts":1`) }},
		{"parts without end", func(c *credentials) { c.replace(`"parts":2`, `"parts":2000000000`) }},
	} {
		c := newCredentials()
		if err := writeParts(c, "item", strings.Repeat("a", 2560)+strings.Repeat("b", 1000)); err != nil {
			t.Fatal(err)
		}
		before := maps.Clone(c.items)
		row.damage(c)
		if maps.Equal(before, c.items) {
			t.Fatalf("%s: nothing was damaged", row.reason)
		}
		want := ErrDamaged
		if strings.Contains(row.reason, "a version to come") {
			want = errNewerParts // which is not damaged, and must not count as none
		}
		if got, err := readParts(c, "item"); !errors.Is(err, want) {
			t.Errorf("%s: read %d bytes, %v; want: %v", row.reason, len(got), err, want)
		}
		if err := writeParts(c, "item", "anew"); err != nil {
			t.Errorf("%s: the next write: %v", row.reason, err)
		}
		if got, err := readParts(c, "item"); err != nil || got != "anew" {
			t.Errorf("%s: after the next write %q, %v", row.reason, got, err)
		}
	}
}

func (c *credentials) each(suffix string, change func(target string)) {
	for _, target := range slices.Sorted(maps.Keys(c.items)) {
		if strings.HasSuffix(target, suffix) {
			change(target)
		}
	}
}

func (c *credentials) replace(old, new string) {
	c.items["item"] = strings.Replace(c.items["item"], old, new, 1)
}
