package toolconfig

import "testing"

// TestCargoByteOrderMark: cargo reads a file that an editor of Windows has written, and the mark stays.
func TestCargoByteOrderMark(t *testing.T) {
	const before = byteOrderMark + "[net]\r\nretry = 2\r\n"
	cargo, _ := Named("cargo")
	added, err := cargo.add([]byte(before), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := before + "[registry]\r\nglobal-credential-providers = [\"cargo:token\", \"cargo-credential-clerk\"]\r\n"
	if string(added) != want {
		t.Errorf("added: %q, want %q", added, want)
	}
	if again, err := cargo.add(added, nil); err != nil || string(again) != want {
		t.Errorf("added again: %q, %v", again, err)
	}
	if removed, err := cargo.remove(added, nil); err != nil || string(removed) != before {
		t.Errorf("removed: %q, %v", removed, err)
	}
}
