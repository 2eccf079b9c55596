package platformtest_test

import (
	"context"
	"errors"
	"testing"

	"clerk-credential-helper/platform/platformtest"
)

func TestMemory(t *testing.T) {
	var m platformtest.Memory
	platformtest.TestKeychain(t, func() platformtest.Keychain { return &m })
	t.Run("largest", func(t *testing.T) { platformtest.TestLargest(t, &m) })
	if names := m.Names(); len(names) != 0 {
		t.Errorf("the contract left items behind: %q", names)
	}
}

func TestMemoryHook(t *testing.T) {
	refusal := errors.New("refused")
	var asked []string
	m := platformtest.Memory{}
	if err := m.Set(context.Background(), "item", "before"); err != nil {
		t.Fatal(err)
	}
	m.Hook = func(op, name string) error {
		asked = append(asked, op+" "+name)
		if op == "get" {
			return nil
		}
		return refusal
	}
	if err := m.Set(context.Background(), "item", "after"); !errors.Is(err, refusal) {
		t.Errorf("Set: %v, want the hook's error", err)
	}
	if err := m.Delete(context.Background(), "item"); !errors.Is(err, refusal) {
		t.Errorf("Delete: %v, want the hook's error", err)
	}
	if got, err := m.Get(context.Background(), "item"); err != nil || got != "before" {
		t.Errorf("Get = %q, %v; want the secret from before the refusals", got, err)
	}
	if len(asked) != 3 || asked[0] != "set item" || asked[1] != "delete item" || asked[2] != "get item" {
		t.Errorf("the hook was asked for %q", asked)
	}
}
