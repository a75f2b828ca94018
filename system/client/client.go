package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Client is a connection to the store through one proxy at a time. Its methods may be called from any
// goroutine.
type Client struct {
	Writes // each sent at most once
	config Config
	gate   *gate
	life   context.Context // until Close
	end    context.CancelFunc

	mu         sync.Mutex
	link       *link
	connecting chan struct{} // closed when the attempt under way has ended; nil = there is none
	address    int           // the next to try, of config.Addresses
	failed     error         // why the last attempt failed
	pause      time.Duration // after the last attempt
}

// Dial connects to the first proxy that answers. ctx bounds the dialling only.
func Dial(ctx context.Context, config Config) (*Client, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	c := &Client{config: config, gate: newGate(config.Window, config.WindowBytes)}
	c.life, c.end = context.WithCancel(context.Background())
	c.Writes = Writes{c}
	if _, err := c.acquire(ctx, true); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection. What is outstanding fails: writes with [ErrUnknown].
func (c *Client) Close() {
	c.end()
	c.gate.close()
	c.mu.Lock()
	l := c.link
	c.link = nil
	c.mu.Unlock()
	if l != nil {
		l.fail(ErrClosed)
	}
}

// acquire returns a connection that takes commands, waiting for one if need be. once gives up when all
// addresses have failed.
func (c *Client) acquire(ctx context.Context, once bool) (*link, error) {
	for tried := false; ; tried = true {
		c.mu.Lock()
		l, failed := c.link, c.failed
		switch {
		case l != nil && l.usable():
			c.mu.Unlock()
			return l, nil
		case once && tried && failed != nil:
			c.mu.Unlock()
			return nil, failed
		case c.connecting == nil:
			c.connecting = make(chan struct{})
			go c.connect(c.connecting, l)
		}
		ended := c.connecting
		c.mu.Unlock()
		select {
		case <-ended:
		case <-c.life.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, c.noLink(ctx)
		}
	}
}

func (c *Client) noLink(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("%w: %w; last, %w", ErrUnavailable, ctx.Err(), c.failed)
}

// connect tries every address once. Before, everything outstanding on the connection left must be
// answered: a client moves only then (R20).
func (c *Client) connect(ended chan struct{}, old *link) {
	if old != nil {
		select {
		case <-old.empty:
		case <-c.life.Done():
		case <-time.After(c.config.DialTimeout):
			old.fail(errors.New("client: the proxy left does not answer"))
		}
	}
	l, err := c.dialAny()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && c.life.Err() == nil:
		c.link, c.failed, c.pause = l, nil, 0
	case err == nil:
		l.fail(ErrClosed)
	default:
		c.failed, c.pause = err, c.longer(c.pause)
		pause := c.pause
		c.mu.Unlock()
		c.sleep(c.life, pause)
		c.mu.Lock()
	}
	c.connecting = nil
	close(ended)
}

// dialAny tries each address once, from where the last attempt ended.
func (c *Client) dialAny() (*link, error) {
	var all []error
	for range c.config.Addresses {
		c.mu.Lock()
		address := c.config.Addresses[c.address%len(c.config.Addresses)]
		c.mu.Unlock()
		l, err := c.dial(address)
		if err == nil {
			return l, nil
		}
		c.mu.Lock()
		c.address++
		c.mu.Unlock()
		all = append(all, fmt.Errorf("client: proxy %s: %w", address, err))
	}
	return nil, errors.Join(all...)
}

// moveOn leaves a proxy that says it is unavailable, if there is another.
func (c *Client) moveOn(l *link) {
	if len(c.config.Addresses) < 2 || !l.leave() {
		return
	}
	c.mu.Lock()
	c.address++
	c.mu.Unlock()
}

// longer is the pause after a pause: twice as long, within bounds.
func (c *Client) longer(pause time.Duration) time.Duration {
	return min(max(2*pause, c.config.RetryMin), c.config.RetryMax)
}

// sleep pauses for half of d to all of it, unless ctx ends or the client is closed.
func (c *Client) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.life.Done():
	case <-ctx.Done():
	}
}

// over is why nothing is worth trying any more, or nil.
func (c *Client) over(ctx context.Context) error {
	select {
	case <-c.life.Done():
		return ErrClosed
	default:
		return ctx.Err()
	}
}
