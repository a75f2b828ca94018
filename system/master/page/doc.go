// Package page shows people what a master knows: its edges, whether they live and why that is
// thought, their backups, and when a restore was last proven.
//
//	http.Handle("/", page.New(master.Status))
//
// The page is made by the server from templates, needs no JavaScript and no build, reloads itself
// every five seconds, and adapts to light and dark and to narrow and wide windows. It loads nothing
// from elsewhere, and its Content-Security-Policy says so. States are words before they are
// colours.
//
// It only shows. It knows no passwords: who may look is decided before it is asked.
package page
