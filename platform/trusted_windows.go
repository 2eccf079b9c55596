package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The rights of an access list, as a file and a folder understand them (winnt.h).
const (
	fileDeleteChild = 0x40 // FILE_DELETE_CHILD

	// ownRights are the rights to put another file in the place of this one, or to take such rights.
	ownRights = fileDeleteChild | windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_ALL
	// addRights are the rights to write to a file, and to add files and folders to a folder. All users have them in the folder of
	// program data, and in what an administrator makes there: nothing that is there can be replaced by them, as in a sticky
	// folder of Unix.
	addRights = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.GENERIC_WRITE

	writeRights = ownRights | addRights
	readRights  = windows.FILE_READ_DATA | windows.GENERIC_READ
)

// access is what a security descriptor lets others do, who are neither this user nor administrators.
type access struct {
	owner  string // who owns it, if that is another; with the name of the account
	noList bool   // there is no access list: everybody may do everything
	others []grant
}

type grant struct {
	who  string
	mask windows.ACCESS_MASK
}

// accessOf reads a security descriptor. Entries that only what is made below inherits do not count, nor do those that deny.
func accessOf(sd *windows.SECURITY_DESCRIPTOR) (access, error) {
	var a access
	trusted, err := trustedSIDs()
	if err != nil {
		return a, err
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return a, err
	}
	if owner == nil {
		a.owner = "no owner"
	} else if !trusted.has(owner) {
		a.owner = account(owner)
	}
	dacl, _, err := sd.DACL()
	if err != nil || dacl == nil {
		a.noList = dacl == nil
		if errors.Is(err, windows.ERROR_OBJECT_NOT_FOUND) {
			err = nil
		}
		return a, err
	}
	for i := range uint32(dacl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(dacl, i, &ace); err != nil {
			return a, err
		}
		const callback = 9 // ACCESS_ALLOWED_CALLBACK_ACE_TYPE: the same, under a condition
		switch {
		case ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0, ace.Header.AceType == windows.ACCESS_DENIED_ACE_TYPE:
			continue
		case ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE && ace.Header.AceType != callback:
			return a, fmt.Errorf("its access list has an entry of unknown kind %d", ace.Header.AceType)
		}
		if sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); !trusted.has(sid) {
			a.others = append(a.others, grant{account(sid), ace.Mask})
		}
	}
	return a, nil
}

// check refuses what another owns, or what others have one of the rights to.
func (a access) check(path string, rights windows.ACCESS_MASK, reason error) error {
	switch {
	case a.owner != "":
		return &refusal{path, ErrForeign, a.owner}
	case a.noList:
		return &refusal{path, reason, "no access list"}
	}
	for _, g := range a.others {
		if g.mask&rights != 0 {
			return &refusal{path, reason, g.who}
		}
	}
	return nil
}

// may reports whether others have one of the rights.
func (a access) may(rights windows.ACCESS_MASK) bool {
	return a.check("", rights, ErrWritable) != nil
}

// account returns a SID with its account's name, if that is known.
func account(sid *windows.SID) string {
	name, domain, _, err := sid.LookupAccount("")
	switch {
	case err != nil || name == "":
		return sid.String()
	case domain != "":
		name = domain + `\` + name
	}
	return name + ", " + sid.String()
}

// sids are accounts that can do as they like on this machine, this user, and those that are no account's.
type sids []*windows.SID

func (all sids) has(sid *windows.SID) bool {
	for _, t := range all {
		if sid.Equals(t) {
			return true
		}
	}
	return false
}

func trustedSIDs() (sids, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("finding the current user: %w", err)
	}
	texts := []string{
		"S-1-5-32-544", // Administrators
		"S-1-5-18",     // SYSTEM
		"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", // TrustedInstaller
		"S-1-3-0", // CREATOR OWNER, CREATOR GROUP: in no token, they are for what is made below
		"S-1-3-1",
		"S-1-3-4", // OWNER RIGHTS: the owner has been looked at
	}
	// The administrators of the user's own domain, and of the forest if that is its first domain: they are in Administrators of
	// each of its machines, and the owners of what a server keeps for a user.
	if own := user.User.Sid.String(); strings.HasPrefix(own, "S-1-5-21-") {
		domain := own[:strings.LastIndexByte(own, '-')]
		texts = append(texts, domain+"-512", domain+"-519")
	}
	all := sids{user.User.Sid}
	for _, text := range texts {
		sid, err := windows.StringToSid(text)
		if err != nil {
			return nil, err
		}
		all = append(all, sid)
	}
	return all, nil
}

const described = windows.OWNER_SECURITY_INFORMATION | windows.DACL_SECURITY_INFORMATION

// accessAt looks at a file or folder itself, should it be a link.
func accessAt(path string) (access, error) {
	name, err := windows.UTF16PtrFromString(longPath(path))
	if err != nil {
		return access{}, err
	}
	h, err := windows.CreateFile(name, windows.READ_CONTROL, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return access{}, &os.PathError{Op: "reading the permissions of", Path: path, Err: err}
	}
	defer windows.CloseHandle(h)
	return accessOfHandle(h, path)
}

func accessOfHandle(h windows.Handle, path string) (access, error) {
	sd, err := windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, described)
	var a access
	if err == nil {
		a, err = accessOf(sd)
	}
	if err != nil {
		return a, &os.PathError{Op: "reading the permissions of", Path: path, Err: err}
	}
	return a, nil
}

// longPath is a path of more than MAX_PATH characters as CreateFile takes it.
func longPath(path string) string {
	const most = 240
	switch {
	case len(path) < most, strings.HasPrefix(path, `\\?\`), strings.HasPrefix(path, `\\.\`):
		return path
	case strings.HasPrefix(path, `\\`):
		return `\\?\UNC\` + path[2:]
	}
	return `\\?\` + path
}

// openTrusted opens a file for reading if no other user could have put another in its place: see [ReadTrusted].
func openTrusted(path string) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%q is not an absolute path", path)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, err // there is nothing that could be trusted
	}
	real, above, err := walkTrusted(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	f, err := openNoFollow(real, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkRegular(f), checkTrustedFile(f, above)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkTrustedFile checks that a file is this user's or an administrator's, and that no other user may write to it. In a folder
// to which others may add files, it has one name: another may be theirs, for a file of ours that is meant for something else.
func checkTrustedFile(f *os.File, above access) error {
	a, err := accessOfHandle(windows.Handle(f.Fd()), f.Name())
	if err != nil {
		return err
	}
	if err := a.check(f.Name(), writeRights, ErrWritable); err != nil {
		return err
	}
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return &os.PathError{Op: "reading the names of", Path: f.Name(), Err: err}
	}
	if info.NumberOfLinks > 1 && above.may(addRights) {
		return &refusal{f.Name(), ErrWritable, fmt.Sprintf("it has %d names, and others may add files to its folder", info.NumberOfLinks)}
	}
	return nil
}

// walkTrusted follows an absolute path from its volume on, links included. It returns where the path leads, which has no link
// in it, and what others may do in the last folder. No other user may own or replace a folder or a link on the way; what is at
// the end is not looked at.
func walkTrusted(path string) (real string, above access, err error) {
	const most = 40 // links, as Unix allows
	for range most {
		var next string
		if real, next, above, err = walkToLink(path); err != nil || next == "" {
			return real, above, err
		}
		path = next
	}
	return "", above, &os.PathError{Op: "open", Path: path, Err: errors.New("too many links")}
}

// walkToLink is walkTrusted up to the first link, whose target it returns, with the rest of the path, as next.
func walkToLink(path string) (real, next string, above access, err error) {
	volume := filepath.VolumeName(path)
	real = volume + `\`
	if above, err = checkWay(real, ownRights&^windows.DELETE); err != nil { // a volume's root cannot be replaced
		return "", "", above, err
	}
	rest := strings.TrimLeft(path[len(volume):], `\`)
	for {
		var name string
		name, rest, _ = strings.Cut(rest, `\`)
		at := filepath.Join(real, name)
		info, err := os.Lstat(at)
		if err != nil {
			return "", "", above, err
		}
		if rest == "" && info.Mode()&fs.ModeSymlink == 0 {
			return at, "", above, nil
		}
		a, err := checkWay(at, ownRights)
		if err != nil {
			return "", "", above, err
		}
		target, err := os.Readlink(at) // also a junction's
		switch {
		case err != nil && rest == "":
			return "", "", above, err
		case err != nil:
			real, above = at, a
			continue
		case !filepath.IsAbs(target):
			target = filepath.Join(real, target)
		}
		return "", filepath.Join(target, rest), above, nil
	}
}

// checkWay checks that no other user owns or may replace a folder or a link. A folder of a share whose permissions this user
// may not read, as those above a home folder, is left to the server.
func checkWay(path string, rights windows.ACCESS_MASK) (access, error) {
	a, err := accessAt(path)
	share := strings.HasPrefix(path, `\\?\UNC\`) || strings.HasPrefix(path, `\\`) && path[2] != '?' && path[2] != '.'
	switch {
	case share && errors.Is(err, fs.ErrPermission):
		return a, nil
	case err != nil:
		return a, err
	}
	return a, a.check(path, rights, ErrWritable)
}

// checkPrivate checks that only this user and the system's administrators may read or write.
func checkPrivate(path string, _ fs.FileInfo) error {
	a, err := accessAt(path)
	if err != nil {
		return err
	}
	return a.check(path, writeRights|readRights, ErrOpen)
}

// othersMayAdd reports whether others may put files or folders into a folder.
func othersMayAdd(folder string) bool {
	a, err := accessAt(folder)
	return err == nil && a.may(writeRights)
}

// anyUsersPlace: all users may make folders below that of program data, if an administrator has not closed it.
func anyUsersPlace() bool { return othersMayAdd(machineConfigDir()) }
