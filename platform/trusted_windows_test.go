package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// The access lists of stock folders of Windows 10, 11 and Server 2022, as SDDL (Microsoft, "Security Descriptor String Format").
// {ME} is this user, {DOMAIN} what its SID begins with. TI is the installer.
const (
	ti = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"

	rootOf10     = "O:" + ti + "G:" + ti + "D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)(A;OICIIO;GA;;;BA)(A;;FA;;;BA)(A;OICI;0x1200a9;;;BU)"
	rootOf2022   = "O:" + ti + "G:" + ti + "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CIIO;DC;;;BU)(A;OICIIO;GA;;;CO)"
	programData  = "O:SYG:SYD:AI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)(A;CI;DCLCRPCR;;;BU)"
	adminsFolder = "O:BAG:BAD:(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;FA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)"
	usersFolder  = "O:{OTHER}G:{OTHER}D:(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;ID;FA;;;{OTHER})(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)"
	adminsFile_  = "O:BAG:BAD:(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)"
	programFiles = "O:" + ti + "G:" + ti + "D:PAI(A;;FA;;;" + ti + ")(A;CIIO;GA;;;" + ti + ")(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;BA)(A;OICIIO;GA;;;BA)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)(A;OICIIO;GA;;;CO)(A;;0x1200a9;;;AC)"
	users_       = "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)(A;;0x1200a9;;;WD)(A;OICIIO;GXGR;;;WD)"
	roaming      = "O:{ME}G:{ME}D:(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;FA;;;{ME})"
	redirected   = "O:{ME}G:{DOMAIN}-513D:AI(A;OICIID;FA;;;BA)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;{DOMAIN}-512)(A;OICIID;FA;;;{ME})"
	shareOfHomes = "O:BAG:SYD:PAI(A;;LC0x1200a9;;;{DOMAIN}-513)(A;OICIIO;GA;;;CO)(A;OICI;FA;;;{DOMAIN}-512)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
)

// TestAccessLists: which access lists a folder on the way to a configuration, its own folder, and the file itself may have.
func TestAccessLists(t *testing.T) {
	const ok = ""
	for _, row := range []struct {
		reason, sddl string
		folder, file string // what is wrong with a folder on the way, and with a file; ok if nothing is
	}{
		{"C:\\ of Windows 10 and 11: all may add folders, none may be replaced", rootOf10, ok, "may be written by others"},
		{"C:\\ of Server 2022: all may add folders", rootOf2022, ok, "may be written by others"},
		{"C:\\ProgramData: all may add files and folders", programData, ok, "may be written by others"},
		{"a folder that an administrator has made in it", adminsFolder, ok, "may be written by others"},
		{"a file that an administrator has made in that", adminsFile_, ok, ok},
		{"a folder that any user has made in C:\\ProgramData", usersFolder, "belongs to another user", "belongs to another user"},
		{"C:\\Program Files", programFiles, ok, ok},
		{"C:\\Users: all may read", users_, ok, ok},
		{"AppData\\Roaming", roaming, ok, ok},
		{"AppData that is redirected to a server, with the administrators of the domain", redirected, ok, ok},
		{"the share of such folders, as Microsoft describes it: users may make their own", shareOfHomes, ok, "may be written by others"},
		{"the administrators of the domain own it", "O:{DOMAIN}-512G:SYD:(A;;FA;;;{ME})", ok, ok},
		{"the administrators of the forest may write", "O:{ME}D:(A;;FA;;;{DOMAIN}-519)", ok, ok},
		{"the administrators of another domain may write", "O:{ME}D:(A;;FA;;;S-1-5-21-1-2-3-512)", "may be written by others", "may be written by others"},
		{"the users of the domain may write", "O:{ME}D:(A;;FA;;;{DOMAIN}-513)", "may be written by others", "may be written by others"},
		{"CREATOR OWNER is in no token", "O:{ME}D:(A;;FA;;;CO)(A;;FA;;;CG)", ok, ok},
		{"OWNER RIGHTS are the owner's", "O:{ME}D:(A;;FA;;;OW)", ok, ok},
		{"and another owner is not this user", "O:{OTHER}D:(A;;FA;;;OW)", "belongs to another user", "belongs to another user"},
		{"an empty list: nobody may do anything, but the owner may change that", "O:{ME}D:", ok, ok},
		{"everybody may read", "O:{ME}D:(A;;FR;;;WD)", ok, ok},
		{"everybody may write", "O:{ME}D:(A;;FA;;;WD)", "may be written by others", "may be written by others"},
		{"everybody may modify, as on a drive for data", "O:BAD:(A;;0x1301bf;;;AU)", "may be written by others", "may be written by others"},
		{"a generic right that was not translated", "O:{ME}D:(A;;GA;;;BU)", "may be written by others", "may be written by others"},
		{"a generic right to write adds to a folder", "O:{ME}D:(A;;GW;;;BU)", ok, "may be written by others"},
		{"others may delete what is in it", "O:{ME}D:(A;;0x40;;;BU)", "may be written by others", "may be written by others"},
		{"others may delete it", "O:{ME}D:(A;;SD;;;BU)", "may be written by others", "may be written by others"},
		{"others may change the list", "O:{ME}D:(A;;WD;;;BU)", "may be written by others", "may be written by others"},
		{"others may take it", "O:{ME}D:(A;;WO;;;BU)", "may be written by others", "may be written by others"},
		{"others may change its attributes and no more", "O:{ME}D:(A;;0x110;;;BU)", ok, ok},
		{"guests", "O:{ME}D:(A;;FA;;;BG)", "may be written by others", "may be written by others"},
		{"services of the system that are not SYSTEM", "O:{ME}D:(A;;FA;;;LS)(A;;FA;;;NS)", "may be written by others", "may be written by others"},
		{"programs from the store", "O:{ME}D:(A;;FA;;;AC)", "may be written by others", "may be written by others"},
		{"an account that was deleted", "O:{ME}D:(A;;FA;;;S-1-5-21-9-9-9-1234)", "S-1-5-21-9-9-9-1234", "S-1-5-21-9-9-9-1234"},
		{"what is denied is not looked at", "O:{ME}D:(D;;FA;;;WD)(A;;FA;;;{ME})", ok, ok},
		{"an entry that denies takes nothing back here", "O:{ME}D:(D;;FA;;;BU)(A;;FA;;;BU)", "may be written by others", "may be written by others"},
		{"what only files below inherit", "O:{ME}D:(A;OICIIO;FA;;;WD)", ok, ok},
		{"an entry with a condition may hold", "XA:O:{ME}D:(A;;FA;;;WD)", "may be written by others", "may be written by others"},
		{"an entry of an unknown kind", "OA:O:{ME}D:(A;;FA;;;WD)", "unknown kind", "unknown kind"},
	} {
		kind, sddl, special := strings.Cut(row.sddl, "A:")
		if !special {
			sddl = row.sddl
		}
		sd, err := windows.SecurityDescriptorFromString(filled(t, sddl))
		if err != nil {
			t.Errorf("%s: %s: %v", row.reason, filled(t, sddl), err)
			continue
		}
		if special { // which Wine's parser does not know
			setKind(t, sd, map[string]uint8{"X": 9, "O": 5}[kind])
		}
		a, err := accessOf(sd)
		for _, look := range []struct {
			what   string
			rights windows.ACCESS_MASK
			want   string
		}{{"a folder", ownRights, row.folder}, {"a file", writeRights, row.file}} {
			got := err
			if got == nil {
				got = a.check(`C:\x`, look.rights, ErrWritable)
			}
			if look.want == ok && got != nil || look.want != ok && (got == nil || !strings.Contains(got.Error(), look.want)) {
				t.Errorf("%s: of %s: %v, want %q", row.reason, look.what, got, look.want)
			}
		}
	}
}

// setKind changes the kind of a descriptor's first entry.
func setKind(t *testing.T, sd *windows.SECURITY_DESCRIPTOR, kind uint8) {
	t.Helper()
	dacl, _, err := sd.DACL()
	if err != nil {
		t.Fatal(err)
	}
	var ace *windows.ACCESS_ALLOWED_ACE
	if err := windows.GetAce(dacl, 0, &ace); err != nil {
		t.Fatal(err)
	}
	ace.Header.AceType = kind
}

// TestNoAccessList: without a list everybody may do everything, and an empty one lets nobody.
func TestNoAccessList(t *testing.T) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	for _, there := range []bool{true, false} {
		sd, err := windows.NewSecurityDescriptor()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(sd.SetOwner(user.User.Sid, false), sd.SetDACL(nil, there, false)); err != nil {
			t.Fatal(err)
		}
		a, err := accessOf(sd)
		if err == nil {
			err = a.check(`C:\x`, ownRights, ErrWritable)
		}
		if !errors.Is(err, ErrWritable) || !strings.Contains(err.Error(), "no access list") {
			t.Errorf("a null list (present: %v): %v", there, err)
		}
	}
}

// filled puts accounts into SDDL.
func filled(t *testing.T, sddl string) string {
	t.Helper()
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	me := user.User.Sid.String()
	domain := me[:strings.LastIndexByte(me, '-')]
	return strings.NewReplacer("{ME}", me, "{DOMAIN}", domain, "{OTHER}", domain+"-4242").Replace(sddl)
}

// TestRefusalNamesAccounts: a SID alone says nothing to its reader.
func TestRefusalNamesAccounts(t *testing.T) {
	sd, err := windows.SecurityDescriptorFromString(filled(t, "O:{ME}D:(A;;FA;;;BU)"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := accessOf(sd)
	if err != nil {
		t.Fatal(err)
	}
	err = a.check(`C:\x`, writeRights, ErrWritable)
	if want := `C:\x may be written by others (BUILTIN\Users, S-1-5-32-545)`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if RefusedPath(err) != `C:\x` || !errors.Is(err, ErrWritable) {
		t.Errorf("the refusal is of %q", RefusedPath(err))
	}
}

// TestReadTrustedOnWindows looks at real files, whose lists Wine makes of modes: 0777 is full access for Everyone.
func TestReadTrustedOnWindows(t *testing.T) {
	for _, row := range []struct {
		reason string
		open   string // what everybody may write to: "file", "folder", "above" or nothing
		want   error
	}{
		{"closed", "", nil},
		{"everybody may write to the file", "file", ErrWritable},
		{"everybody may replace the file", "folder", ErrWritable},
		{"everybody may replace its folder", "above", ErrWritable},
	} {
		above := filepath.Join(TempDir(t), "above")
		folder := filepath.Join(above, "folder")
		file := filepath.Join(folder, "config.toml")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		if path := map[string]string{"file": file, "folder": folder, "above": above}[row.open]; path != "" {
			sd, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;WD)")
			if err != nil {
				t.Fatal(err)
			}
			dacl, _, err := sd.DACL()
			if err != nil {
				t.Fatal(err)
			}
			if err := windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil); err != nil {
				t.Fatal(err)
			}
		}
		text, err := ReadTrusted(file, 100)
		if row.want == nil && (err != nil || string(text) != "content") || row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("%s: %q, %v, want %v", row.reason, text, err, row.want)
		}
	}
	if _, err := ReadTrusted(filepath.Join(TempDir(t), "missing", "config.toml"), 100); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
