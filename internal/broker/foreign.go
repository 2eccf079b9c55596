package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// With us as their credsStore, docker and its like also keep the credentials of all other registries here, as they would
// with any helper. Each is an item of its own; one more item lists them, because a Keychain cannot.

// foreignVersion is the schema of both items. It is frozen like the session's.
const foreignVersion = 1

// foreignIndex is the name of the item that lists the others.
const foreignIndex = "docker-index"

// foreignItem is one registry's credential.
type foreignItem struct {
	Version   int    `json:"v"`
	ServerURL string `json:"server"` // exactly as the client wrote it
	Username  string `json:"username"`
	Secret    string `json:"secret"`
}

// foreignList is an item that lists credentials. The first may say how many there are; a further one has its number behind
// the name.
type foreignList struct {
	Version int               `json:"v"`
	Servers map[string]string `json:"servers"`         // server to user name
	Pages   int               `json:"pages,omitempty"` // of the first item: how many, if it is not the only one

	stored string // the item's text as it is kept, empty for none
}

const (
	// foreignPage bounds one item of the list, in bytes: the smallest of our stores, the kernel's keyring, takes 32,767.
	foreignPage = 30_000
	// foreignPages bounds the number of items, for a damaged list.
	foreignPages = 1000
)

func foreignPageName(i int) string {
	if i == 0 {
		return foreignIndex
	}
	return foreignIndex + "-" + strconv.Itoa(i)
}

func foreignName(server string) string { return itemName("docker-", server) }

// foreign answers docker for hosts of no profile: from the previous helper, if the configuration names it, else from our
// keychain. It never asks a person, and is never called for a host of ours.
func (b *Broker) foreign(ctx context.Context, req protocol.Request) protocol.Reply {
	if b.Fallback != nil {
		b.trace("%q goes to the fallback", req.Shown())
		return b.Fallback(ctx, req)
	}
	return dockerStore{b.Keychain, b.Locks}.answer(ctx, req)
}

// dockerStore keeps the credentials of other registries in a keychain.
type dockerStore struct {
	keychain Keychain
	locks    Locker
}

func (d dockerStore) answer(ctx context.Context, req protocol.Request) protocol.Reply {
	switch req.Verb {
	case protocol.Get:
		return d.get(ctx, req)
	case protocol.Store:
		return done(d.store(ctx, req))
	case protocol.Erase:
		return done(d.erase(ctx, req))
	}
	list, err := d.list(ctx)
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	entries := map[string]string{}
	for _, page := range list {
		maps.Copy(entries, page.Servers)
	}
	return protocol.Reply{Result: protocol.Found, Entries: entries}
}

func done(err error) protocol.Reply {
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	return protocol.Reply{Result: protocol.Done}
}

func (d dockerStore) get(ctx context.Context, req protocol.Request) protocol.Reply {
	text, err := d.keychain.Get(ctx, foreignName(req.ServerURL))
	// Without any keychain nothing can have been kept, and a public image needs no credential.
	if errors.Is(err, platform.ErrNotFound) || errors.Is(err, platform.ErrUnavailable) {
		return protocol.Reply{}
	}
	if err != nil && !errors.Is(err, platform.ErrDamaged) {
		return protocol.Reply{Result: protocol.Failed, Err: fmt.Errorf("reading the credential of %q: %w", req.Shown(), err)}
	}
	var item foreignItem
	if json.Unmarshal([]byte(text), &item) != nil || item.Version != foreignVersion || item.ServerURL != req.ServerURL {
		return protocol.Reply{Result: protocol.Failed, Err: fmt.Errorf("the credential of %q in the keychain is not readable", req.Shown()),
			Hint: "docker login " + req.Shown() + " replaces it, and docker logout removes it"}
	}
	return protocol.Reply{Result: protocol.Found, Credential: protocol.Credential{Username: item.Username, Token: item.Secret}}
}

// store keeps a credential and lists it. If it cannot be listed, the previous one is put back, so that none is left which
// docker was told is not kept.
func (d dockerStore) store(ctx context.Context, req protocol.Request) error {
	if req.Shown() != req.Host {
		return fmt.Errorf("not kept: the address of %q holds a user name or a password, leave it out", req.Shown())
	}
	text, err := json.Marshal(foreignItem{foreignVersion, req.ServerURL, req.Username, req.Secret})
	if err != nil {
		return fmt.Errorf("encoding the credential of %q: %w", req.Shown(), err)
	}
	return d.change(ctx, req, func(list dockerList) error {
		name := foreignName(req.ServerURL)
		before, err := d.keychain.Get(ctx, name)
		if err != nil && !errors.Is(err, platform.ErrNotFound) && !errors.Is(err, platform.ErrDamaged) {
			return err
		}
		after, err := list.with(req.ServerURL, req.Username)
		if err != nil {
			return err
		}
		if err := d.keychain.Set(ctx, name, string(text)); err != nil {
			return err
		}
		return d.write(ctx, list, after, func(ctx context.Context) error { return d.restore(ctx, name, before) })
	})
}

// erase takes a credential off the list, and then out of the keychain: what is listed can always be read.
func (d dockerStore) erase(ctx context.Context, req protocol.Request) error {
	return d.change(ctx, req, func(list dockerList) error {
		after, err := list.without(req.ServerURL)
		if err != nil {
			return err
		}
		if err := d.write(ctx, list, after, nil); err != nil {
			return err
		}
		err = d.keychain.Delete(ctx, foreignName(req.ServerURL))
		if err == nil || errors.Is(err, platform.ErrNotFound) {
			return nil
		}
		return errors.Join(err, d.undo(ctx, after, list))
	})
}

// change changes a credential and the list, under their lock.
func (d dockerStore) change(ctx context.Context, req protocol.Request, change func(dockerList) error) error {
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err := d.locks.Lock(limited, foreignIndex)
	if err != nil {
		return fmt.Errorf("locking docker's credentials: %w", err)
	}
	defer release()
	list, err := d.list(ctx)
	if err != nil && !errors.Is(err, platform.ErrDamaged) {
		return err
	}
	if err := change(list); err != nil {
		return fmt.Errorf("%s of the credential of %q: %w", req.Verb, req.Shown(), err)
	}
	return nil
}

// write replaces a list by another. If that fails, the list is put back, and so is what undo puts back.
func (d dockerStore) write(ctx context.Context, before, after dockerList, undo func(context.Context) error) error {
	err := d.replace(ctx, before, after)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("keeping the list of docker's credentials: %w", err)
	if undone := d.undo(ctx, after, before); undone != nil {
		err = errors.Join(err, undone)
	}
	if undo != nil {
		// Ctrl-C must not leave half of it.
		if undone := undo(context.WithoutCancel(ctx)); undone != nil {
			err = errors.Join(err, fmt.Errorf("the credential is kept, and not listed: %w", undone))
		}
	}
	return err
}

// undo puts a list back. What has not been replaced is left alone.
func (d dockerStore) undo(ctx context.Context, from, to dockerList) error {
	ctx = context.WithoutCancel(ctx)
	now := slices.Clone(from)
	for i := range now {
		text, err := d.keychain.Get(ctx, foreignPageName(i))
		if err != nil && !errors.Is(err, platform.ErrNotFound) && !errors.Is(err, platform.ErrDamaged) {
			return fmt.Errorf("reading the list of docker's credentials: %w", err)
		}
		now[i].stored = text
	}
	if err := d.replace(ctx, now, to); err != nil {
		return fmt.Errorf("putting the list of docker's credentials back: %w", err)
	}
	return nil
}

// replace writes the pages that differ, the first one last: until then it names none of the new ones. A page that is gone
// is deleted after that.
func (d dockerStore) replace(ctx context.Context, before, after dockerList) error {
	stored := func(i int) string {
		if i < len(before) {
			return before[i].stored
		}
		return ""
	}
	for i, page := range slices.Backward(after) {
		if page.stored == stored(i) {
			continue
		}
		if err := d.restore(ctx, foreignPageName(i), page.stored); err != nil {
			return err
		}
	}
	for i := len(after); i < len(before); i++ {
		d.keychain.Delete(ctx, foreignPageName(i)) // nothing names it any more
	}
	return nil
}

// restore gives an item this text, or removes it if there is none.
func (d dockerStore) restore(ctx context.Context, name, text string) error {
	if text != "" {
		return d.keychain.Set(ctx, name, text)
	}
	if err := d.keychain.Delete(ctx, name); !errors.Is(err, platform.ErrNotFound) {
		return err
	}
	return nil
}

// list reads all pages. One that is missing lists nothing, and so does a damaged one, which the next change replaces: the
// error is platform.ErrDamaged then, and the list that of the other pages.
func (d dockerStore) list(ctx context.Context) (dockerList, error) {
	var list dockerList
	var damaged error
	for i, pages := 0, 1; i < pages; i++ {
		page := foreignList{Version: foreignVersion, Servers: map[string]string{}}
		text, err := d.keychain.Get(ctx, foreignPageName(i))
		switch {
		case errors.Is(err, platform.ErrNotFound) || errors.Is(err, platform.ErrUnavailable):
		case err != nil && !errors.Is(err, platform.ErrDamaged):
			return nil, fmt.Errorf("reading the list of docker's credentials: %w", err)
		case itemVersion(text) > foreignVersion:
			return nil, errors.New("the list of docker's credentials in the keychain is not readable: a later release has written it")
		case json.Unmarshal([]byte(text), &page) != nil || page.Version != foreignVersion || page.Servers == nil || page.Pages > foreignPages:
			damaged = fmt.Errorf("the list of docker's credentials is not readable: %w; docker login puts a registry on it again", platform.ErrDamaged)
			page = foreignList{Version: foreignVersion, Servers: map[string]string{}}
		}
		page.stored = text
		list = append(list, page)
		if i == 0 {
			pages = max(page.Pages, 1)
		}
	}
	return list, damaged
}

// dockerList is the list of docker's credentials: one page at least.
type dockerList []foreignList

// without is the list without a server.
func (l dockerList) without(server string) (dockerList, error) {
	at := slices.IndexFunc(l, func(p foreignList) bool { _, ok := p.Servers[server]; return ok })
	if at < 0 {
		return l, nil
	}
	after := slices.Clone(l)
	after[at].Servers = maps.Clone(after[at].Servers)
	delete(after[at].Servers, server)
	for len(after) > 1 && len(after[len(after)-1].Servers) == 0 {
		after = after[:len(after)-1]
	}
	return after.encode()
}

// with is the list with a server, on the page where it is, or on the first that has room. It is an error if no page could
// have room.
func (l dockerList) with(server, username string) (dockerList, error) {
	entry, err := json.Marshal(map[string]string{server: username})
	if err != nil {
		return nil, err
	}
	const rest = len(`{"v":1,"servers":{},"pages":1000}`)
	if len(entry)+rest > foreignPage {
		return nil, fmt.Errorf("the names of the server and the user are longer than %d bytes together", foreignPage-rest)
	}
	after := slices.Clone(l)
	at := slices.IndexFunc(after, func(p foreignList) bool { _, ok := p.Servers[server]; return ok })
	if at < 0 {
		at = slices.IndexFunc(after, func(p foreignList) bool { return len(p.stored)+len(entry)+rest <= foreignPage })
	}
	if at < 0 {
		at = len(after)
		after = append(after, foreignList{Version: foreignVersion})
	}
	after[at].Servers = maps.Clone(after[at].Servers)
	if after[at].Servers == nil {
		after[at].Servers = map[string]string{}
	}
	after[at].Servers[server] = username
	return after.encode()
}

// encode makes the texts of all pages, and two of a page that has become too long.
func (l dockerList) encode() (dockerList, error) {
	for i := 0; i < len(l); i++ {
		if len(l) > foreignPages {
			return nil, fmt.Errorf("there are more than %d pages of them", foreignPages)
		}
		p := &l[i]
		p.Pages = 0
		if i == 0 && len(l) > 1 {
			p.Pages = len(l)
		}
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		if len(text) > foreignPage && len(p.Servers) > 1 {
			servers := slices.Sorted(maps.Keys(p.Servers))
			more := foreignList{Version: foreignVersion, Servers: map[string]string{}}
			p.Servers = maps.Clone(p.Servers)
			for _, server := range servers[len(servers)/2:] {
				more.Servers[server] = p.Servers[server]
				delete(p.Servers, server)
			}
			l = append(l, more)
			i = -1 // the first page says how many there are
			continue
		}
		p.stored = string(text)
	}
	return l, nil
}
