package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFileDamaged: what a full disk or a power cut has left in an item's place is told from a missing item, is replaced
// by the next write, and can be removed.
func TestFileDamaged(t *testing.T) {
	for _, row := range []struct {
		reason, text string
		want         error // nil: the text is returned, and the caller finds that it is no item
	}{
		{"0 bytes", "", ErrDamaged},
		{"more than any secret", strings.Repeat("x", maxSecret+1), ErrDamaged},
		{"zeros", strings.Repeat("\x00", 900), nil},
		{"no UTF-8", "\xff\xfe{\x00}\x00", nil},
	} {
		dir := filepath.Join(TempDir(t), "state")
		k, err := OpenKeychain("file", dir)
		if err != nil {
			t.Fatal(err)
		}
		damage := func() {
			if err := k.Set(t.Context(), "item", "whole"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "item.json"), []byte(row.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		damage()
		checkDamaged(t, k, row.reason, row.text, row.want, damage)
	}
}

// checkDamaged checks that a damaged item can be told, replaced and deleted.
func checkDamaged(t *testing.T, k *Keychain, reason, text string, want error, damage func()) {
	t.Helper()
	got, err := k.Get(t.Context(), "item")
	if !errors.Is(err, want) || err == nil && got != text || errors.Is(err, ErrNotFound) || errors.Is(err, ErrLocked) {
		t.Errorf("%s: got %d bytes, %v, want %v", reason, len(got), err, want)
	}
	if err := k.Set(t.Context(), "item", "again"); err != nil {
		t.Errorf("%s: it cannot be replaced: %v", reason, err)
	}
	if got, err := k.Get(t.Context(), "item"); got != "again" || err != nil {
		t.Errorf("%s: replaced: %q, %v", reason, got, err)
	}
	damage()
	if err := k.Delete(t.Context(), "item"); err != nil {
		t.Errorf("%s: it cannot be deleted: %v", reason, err)
	}
	if _, err := k.Get(t.Context(), "item"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%s: deleted: %v", reason, err)
	}
}
