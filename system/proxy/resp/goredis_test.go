package resp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
	"metronome/system/wire"
)

func goRedis(t testing.TB, address string, o redis.Options) *redis.Client {
	o.Addr = address
	c := redis.NewClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// go-redis with default options works with both protocols: values, conditions, pipelines, scans.
func TestGoRedis(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{Auth: resp.RequirePass("secret")})
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			o := redis.Options{Protocol: protocol, Password: "secret", ClientName: "test"}
			useGoRedis(t, goRedis(t, address, o))
		})
	}
}

func useGoRedis(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	check := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	c.Del(ctx, "a", "b", "n")
	set, err := c.Set(ctx, "a", "1", 0).Result()
	check("Set", set, "OK", err)
	got, err := c.Get(ctx, "a").Result()
	check("Get", got, "1", err)
	if _, err := c.Get(ctx, "nope").Result(); !errors.Is(err, redis.Nil) {
		t.Errorf("Get of an absent key: %v", err)
	}
	absent, err := c.SetNX(ctx, "a", "2", 0).Result()
	check("SetNX", absent, false, err)
	old, err := c.SetArgs(ctx, "a", "3", redis.SetArgs{Get: true}).Result()
	check("Set GET", old, "1", err)
	n, err := c.IncrBy(ctx, "n", 5).Result()
	check("IncrBy", n, int64(5), err)
	if err := c.MSet(ctx, "x", 1, "y", 2).Err(); err != nil {
		t.Error(err)
	}
	many, err := c.MGet(ctx, "x", "nope", "y").Result()
	check("MGet", fmt.Sprint(many), "[1 <nil> 2]", err)
	name, err := c.ClientGetName(ctx).Result()
	check("ClientGetName", name, "test", err)
	commands, err := c.Command(ctx).Result()
	if err != nil || commands["mset"].FirstKeyPos != 1 || commands["mset"].StepCount != 2 {
		t.Errorf("Command: %v, %v", commands["mset"], err)
	}
	cas, err := c.Do(ctx, "MT.CAS", "cas-"+name, 99, "v").Slice()
	check("MT.CAS", fmt.Sprint(cas), "[0 0]", err)
	pipeline(t, c)
}

func pipeline(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	pipe := c.Pipeline()
	var want []string
	for i := range 300 {
		pipe.Set(ctx, fmt.Sprintf("p:%03d", i), i, 0)
		want = append(want, fmt.Sprintf("p:%03d", i))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	var got []string
	all := c.Scan(ctx, 0, "p:*", 20).Iterator()
	for all.Next(ctx) {
		got = append(got, all.Val())
	}
	slices.Sort(got)
	if err := all.Err(); err != nil || !slices.Equal(got, want) {
		t.Errorf("Scan found %d keys, want %d, %v", len(got), len(want), err)
	}
}

// R28: go-redis with default options sends a command once, whatever definite or unknown failure it is
// answered with, and tells the caller which.
func TestGoRedisDoesNotRetryOurErrors(t *testing.T) {
	var sent atomic.Int64
	var status atomic.Uint32
	store := resptest.New()
	store.Answer = func(*resp.Op) (wire.Result, bool) {
		sent.Add(1)
		return wire.Result{Status: wire.Status(status.Load())}, false
	}
	address, _ := serve(t, store, resp.Options{})
	c := goRedis(t, address, redis.Options{})
	for s, prefix := range map[wire.Status]string{
		wire.StatusBusy: resp.PrefixOverloaded, wire.StatusUnavailable: resp.PrefixUnavailable,
		wire.StatusUnknown: resp.PrefixUnknown, wire.StatusRefused: resp.PrefixRefused,
		wire.StatusSessionUnknown: resp.PrefixSession, wire.StatusSessionForgotten: resp.PrefixSession,
		wire.StatusSessionAhead: resp.PrefixSession, wire.StatusResultGone: resp.PrefixSession,
		wire.StatusMalformed: "ERR", wire.StatusTooLong: "ERR", wire.Status(77): resp.PrefixUnknown,
	} {
		status.Store(uint32(s))
		sent.Store(0)
		err := c.Set(t.Context(), "k", "v", 0).Err()
		if sent.Load() != 1 || err == nil || !strings.HasPrefix(err.Error(), prefix+" ") {
			t.Errorf("status %d: sent %d times, %v; want once, %s", s, sent.Load(), err, prefix)
		}
	}
}

// What no server can prevent: by default go-redis sends a command again when the connection breaks
// before the reply (MaxRetries 3). With MaxRetries -1 it does not. doc.go says so.
func TestGoRedisRetriesBrokenConnections(t *testing.T) {
	for _, c := range []struct{ retries, want int }{{0, 4}, {-1, 1}} {
		var sent atomic.Int64
		store := resptest.New()
		store.Answer = func(*resp.Op) (wire.Result, bool) {
			sent.Add(1)
			return wire.Result{Value: make([]byte, 1<<20)}, false
		}
		address, _ := serve(t, store, resp.Options{Limits: resp.Limits{HardOutput: 1 << 10, SoftOutput: 1 << 10}})
		err := goRedis(t, address, redis.Options{MaxRetries: c.retries}).Get(context.Background(), "k").Err()
		if err == nil || int(sent.Load()) != c.want {
			t.Errorf("MaxRetries %d: sent %d times, want %d; %v", c.retries, sent.Load(), c.want, err)
		}
	}
}
