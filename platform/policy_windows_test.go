package platform

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/windows/registry"
)

// TestMachinePolicy reads policies below a key of this user's own: that of the machine is left alone.
func TestMachinePolicy(t *testing.T) {
	for i, row := range []struct {
		reason string
		write  func(k registry.Key) error // nil: there is no key
		want   map[string]any
		wrong  string // in the error; empty for none
	}{
		{"no key", nil, nil, ""},
		{"an empty key", func(registry.Key) error { return nil }, map[string]any{}, ""},
		{"a string", func(k registry.Key) error { return k.SetStringValue("profiles", "fixed") }, map[string]any{"profiles": "fixed"}, ""},
		{"strings", func(k registry.Key) error { return k.SetStringsValue("hosts", []string{"*.acme.dev", "git.acme.dev"}) }, map[string]any{"hosts": []string{"*.acme.dev", "git.acme.dev"}}, ""},
		{"no strings", func(k registry.Key) error { return k.SetStringsValue("hosts", nil) }, map[string]any{"hosts": []string{}}, ""},
		{"a number", func(k registry.Key) error { return k.SetDWordValue("with_token", 0) }, map[string]any{"with_token": uint32(0)}, ""},
		{"names and numbers that mean nothing are left to config", func(k registry.Key) error { return k.SetDWordValue("Zoë", 1<<32-1) }, map[string]any{"Zoë": uint32(1<<32 - 1)}, ""},
		{"the value without a name", func(k registry.Key) error { return k.SetStringValue("", "x") }, map[string]any{"": "x"}, ""},

		{"a string with variables in it", func(k registry.Key) error { return k.SetExpandStringValue("profiles", "%USERNAME%") }, nil, "it has the type 2"},
		{"bytes", func(k registry.Key) error { return k.SetBinaryValue("profiles", []byte("any")) }, nil, "it has the type 3"},
		{"a longer number", func(k registry.Key) error { return k.SetQWordValue("with_token", 0) }, nil, "it has the type 11"},
		{"a key below it, as lists of templates are", func(k registry.Key) error {
			below, _, err := registry.CreateKey(k, "hosts", registry.ALL_ACCESS)
			if err == nil {
				err = below.Close()
			}
			return err
		}, nil, "there is a key below it"},
		{"too long", func(k registry.Key) error { return k.SetStringValue("profiles", strings.Repeat("x", maxPolicyValue/2)) }, nil, "above the limit of 65536"},
		{"too many", func(k registry.Key) (err error) {
			for i := range maxPolicyValues + 1 {
				if err == nil {
					err = k.SetDWordValue(fmt.Sprint(i), 0)
				}
			}
			return err
		}, nil, "it has 65 values"},
	} {
		path := fmt.Sprintf(`Software\clerk-credential-helper-test-%d`, i)
		remove := func() {
			registry.DeleteKey(registry.CURRENT_USER, path+`\hosts`)
			registry.DeleteKey(registry.CURRENT_USER, path)
		}
		remove()
		t.Cleanup(remove)
		if row.write != nil {
			key, _, err := registry.CreateKey(registry.CURRENT_USER, path, registry.ALL_ACCESS)
			if err != nil {
				t.Fatal(err)
			}
			if err := row.write(key); err != nil {
				t.Fatalf("%s: %v", row.reason, err)
			}
			key.Close()
		}
		settings, err := readPolicy(registry.CURRENT_USER, path)
		switch {
		case row.wrong == "" && (err != nil || !reflect.DeepEqual(settings, row.want)):
			t.Errorf("%s: %#v, %v", row.reason, settings, err)
		case row.wrong != "" && (err == nil || settings != nil || !strings.Contains(err.Error(), row.wrong)):
			t.Errorf("%s: %#v, %v, want %q", row.reason, settings, err, row.wrong)
		}
	}
}
