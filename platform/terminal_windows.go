package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"
)

func openTerminal() (*os.File, error) { return os.OpenFile("CONOUT$", os.O_RDWR, 0) }

// escapeSequences switches the console's virtual terminal on (Microsoft, "Console Virtual Terminal Sequences"), which is there from
// Windows 10 on. Output that is no console, such as the pipe of a terminal of MSYS, has no mode.
func escapeSequences(f *os.File) (restore func(), ok bool) {
	const virtualTerminal = windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING | windows.ENABLE_PROCESSED_OUTPUT
	console := windows.Handle(f.Fd())
	var before uint32
	nothing := func() {}
	if windows.GetConsoleMode(console, &before) != nil {
		return nothing, false
	}
	if before&virtualTerminal == virtualTerminal {
		return nothing, true
	}
	if windows.SetConsoleMode(console, before|virtualTerminal) != nil {
		return nothing, false
	}
	return func() { _ = windows.SetConsoleMode(console, before) }, true // a console that is gone needs nothing
}

func foreground(*os.File) bool { return true }

func graphicalEvidence(func(string) string) string {
	var session uint32
	err := windows.ProcessIdToSessionId(windows.GetCurrentProcessId(), &session)
	return windowsSession(session, err)
}

// inputRecord is INPUT_RECORD with a KEY_EVENT_RECORD in it, which is the longest of its kinds.
type inputRecord struct {
	kind            uint16
	_               uint16
	keyDown         int32
	repeatCount     uint16
	virtualKey      uint16
	virtualScan     uint16
	char            uint16 // UTF-16
	controlKeyState uint32
}

const keyEvent = 1

// readLines takes key events one by one: ReadConsole would block on an event that is no key.
func (t *Terminal) readLines(ctx context.Context, take func(string, bool) bool) error {
	f, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening the console: %w", err)
	}
	defer f.Close()
	console := windows.Handle(f.Fd())
	var before uint32
	if err := windows.GetConsoleMode(console, &before); err != nil {
		return fmt.Errorf("reading the console's mode: %w", err)
	}
	// Ctrl-C stays a signal; neither lines nor an echo.
	if err := windows.SetConsoleMode(console, windows.ENABLE_PROCESSED_INPUT|windows.ENABLE_EXTENDED_FLAGS|before&windows.ENABLE_QUICK_EDIT_MODE); err != nil {
		return fmt.Errorf("setting the console's mode: %w", err)
	}
	defer func() {
		_ = windows.FlushConsoleInputBuffer(console) // a console that is gone needs nothing
		_ = windows.SetConsoleMode(console, before)
	}()
	wake, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return fmt.Errorf("waiting for the console: %w", err)
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = windows.SetEvent(wake) // it is open until woken is closed, and lookAgain comes anyway
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken
		}
		windows.CloseHandle(wake)
	}()

	var in input
	var pending []uint16
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		char, ok, err := nextChar(wake, console, lookAgain)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if pending = append(pending, char); utf16.IsSurrogate(rune(char)) && len(pending) == 1 {
			continue
		}
		text := string(utf16.Decode(pending))
		pending = pending[:0]
		for i := range len(text) {
			complete, end := in.add(text[i])
			if end {
				return nil
			}
			if complete {
				for began := time.Now(); time.Since(began) < maxPaste; {
					char, ok, err := nextChar(wake, console, pasteGap)
					if err != nil || !ok {
						break
					}
					in.addRest([]byte(string(rune(char)))) // half of a pair is no part of an address anyway
				}
				if !take(in.take()) {
					return nil
				}
			}
		}
	}
}

// nextChar waits for a character. ok is false if none came in time, or if wake was set.
func nextChar(wake, console windows.Handle, limit time.Duration) (char uint16, ok bool, err error) {
	read := windows.NewLazySystemDLL("kernel32.dll").NewProc("ReadConsoleInputW")
	for end := time.Now().Add(limit); ; {
		left := max(0, time.Until(end))
		event, err := windows.WaitForMultipleObjects([]windows.Handle{wake, console}, false, uint32(left.Milliseconds()))
		if event == uint32(windows.WAIT_TIMEOUT) || event == windows.WAIT_OBJECT_0 {
			return 0, false, nil
		}
		if err != nil || event != windows.WAIT_OBJECT_0+1 {
			return 0, false, errors.New("waiting for the console failed")
		}
		var record inputRecord // there is one, so this does not block
		var n uint32
		if done, _, err := read.Call(uintptr(console), uintptr(unsafe.Pointer(&record)), 1, uintptr(unsafe.Pointer(&n))); done == 0 {
			return 0, false, fmt.Errorf("reading the console: %w", err)
		}
		if n == 1 && record.kind == keyEvent && record.keyDown != 0 && record.char != 0 {
			return record.char, true, nil
		}
	}
}
