package page

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"metronome/internal/require"
	"metronome/system/master/api"
)

// browser starts a headless Chromium without JavaScript for pages.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless_shell"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		require.Skip(t, "chromium", errors.New("no chromium in PATH: apt-get install chromium"))
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 160*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits for its end
	return ctx
}

// faults is what a person would stumble over, as the browser has laid the page out: text that is
// cut off or runs out of the window, and text too faint to read (WCAG 2: a contrast of 4.5).
//
//go:embed testdata/faults.js
var faults string

// TestInABrowser looks at the pages light and dark, narrow and wide. METRONOME_SHOTS names a folder
// for pictures.
func TestInABrowser(t *testing.T) {
	ctx := browser(t)
	server := httptest.NewServer(New(example))
	defer server.Close()
	papers := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{320, 768, 1440} {
			for _, path := range []string{"/", "/edges/hallway", "/edges/kitchen", "/edges/garage"} {
				name := fmt.Sprintf("%s-%d%s", scheme, width, strings.ReplaceAll(path, "/", "-"))
				var found []string
				var text, paper string
				var picture []byte
				err := chromedp.Run(ctx,
					emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme",
						Value: scheme}}),
					chromedp.EmulateViewport(width, 900),
					chromedp.Navigate(server.URL+path),
					chromedp.Evaluate(faults, &found),
					chromedp.Evaluate(`document.body.innerText`, &text),
					chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &paper),
					chromedp.FullScreenshot(&picture, 100))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				papers[scheme+paper] = true
				for _, f := range found {
					t.Errorf("%s: %s", name, f)
				}
				if path == "/" && (!strings.Contains(text, "hallway") || !strings.Contains(text, "it speaks every 10s")) {
					t.Errorf("%s shows %s", name, text)
				}
				keep(t, name, picture)
			}
		}
	}
	if len(papers) != 2 {
		t.Errorf("light and dark look alike: %v", papers)
	}
}

func keep(t *testing.T, name string, picture []byte) {
	t.Helper()
	dir := os.Getenv("METRONOME_SHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestItRefreshesItselfWithoutJavaScript: a new state appears though scripts are switched off and
// nobody touches it.
func TestItRefreshesItselfWithoutJavaScript(t *testing.T) {
	ctx := browser(t)
	var asked atomic.Int64
	p := New(func() api.Status {
		s := example()
		s.Home = fmt.Sprint("seen-", asked.Add(1))
		return s
	})
	p.reload = 1
	server := httptest.NewServer(p)
	defer server.Close()
	err := chromedp.Run(ctx, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	for asked.Load() < 3 {
		select {
		case <-ctx.Done():
			t.Fatal("the page did not load itself again")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
