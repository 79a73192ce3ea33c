#!/usr/bin/perl

# The retry budget: what peers that fail get of an upstream's requests, with many
# requests running and with one at a time, after a worker was killed, and what
# the status and the metrics say of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use IO::Socket::INET;
use List::Util qw(sum0);
use Test::More;

use constant { REQUESTS => 600, IN_FLIGHT => 60, TRIES => 3 };

my $t = DynamicWeight->new;
my @bad = map "127.0.0.$_", 11 .. 13;
my ($quick, $hung, $kept) = map "127.0.0.$_", 14 .. 16;
my $servers = $t->slow_servers(addresses => [@bad, $quick, $hung, $kept],
    delay => 0.05);
$servers->set($_, status => 500) for @bad;
$servers->set($quick, status => 500, delay => 0);
$servers->set($hung, mode => 'silent');

my $bad = join ' ', map "server $_:%%BACKEND%% max_fails=0;", @bad;
my %upstream = (
    free   => $bad,
    budget => "$bad dynamic_weight_retries budget=20%;",
    none   => "$bad dynamic_weight_retries min=0 budget=0%;",
    # Who fails at once, and then who does not answer.
    held   => "server $quick:%%BACKEND%% max_fails=0; "
        . "server $hung:%%BACKEND%% max_fails=0 backup; "
        . 'dynamic_weight_retries budget=0% min=1;',
    kept   => "server $kept:%%BACKEND%%; dynamic_weight_retries budget=0% min=0;",
);
my $upstreams = join "\n", map { "upstream $_ { dynamic_weight; $upstream{$_} }" }
    sort keys %upstream;
my $locations = join "\n", map { "location /$_ { proxy_pass http://$_/; }" }
    sort keys %upstream;
$t->conf(http => <<"EOF");
    dynamic_weight_zone main:1m;
    $upstreams
    server {
        listen              127.0.0.1:%%PORT%%;
        proxy_http_version  1.1;
        proxy_set_header    Connection "";
        proxy_next_upstream error timeout http_500;
        $locations
        location /off { proxy_pass http://none/; proxy_next_upstream off; }
        location /dw/ { dynamic_weight_status; }
    }
EOF
ok($t->start, 'nginx starts');

sub retries { $t->status->{upstreams}{$_[0]}{retries} }

# Requests, so many at once: the attempts that the servers saw.
sub attempts {
    my ($uri, $requests, $at_once) = @_;
    $servers->requests;
    my ($seen) = in_flight({ port => $t->port, requests => $requests,
        in_flight => $at_once, uri => sub { "/$uri" } });
    is_deeply($seen->{statuses}, { 500 => $requests }, "$uri: all are answered");
    return sum0 values %{$servers->requests};
}

# ---- Many at once.

is(attempts('free', REQUESTS, IN_FLIGHT), REQUESTS * TRIES,
    'without a budget each peer is asked by each request');
my $free = retries('free');
is_deeply($free, { running => 0, total => REQUESTS * (TRIES - 1) },
    'and so says the status');

my $attempts = attempts('budget', REQUESTS, IN_FLIGHT);
cmp_ok($attempts, '>', REQUESTS, "$attempts attempts: some are retried");
cmp_ok($attempts, '<=', REQUESTS * 1.2, 'but no more than the budget allows');
my $budget = retries('budget');
is($budget->{total}, $attempts - REQUESTS, 'retries are counted');
cmp_ok($budget->{refused}, '>', 0, 'and those that were refused');
is_deeply([@$budget{qw(running budget min)}], [0, 20, 3],
    'none runs now; the budget is shown');

is(attempts('none', REQUESTS, IN_FLIGHT), REQUESTS, 'without any there are none');
is(retries('none')->{refused}, REQUESTS, 'each request was refused one');

# ---- One at a time.

is(attempts('budget', 10, 1), 10 * TRIES, 'the least number is always allowed');

# ---- What would not have been retried is not refused.

my $refused = retries('none')->{refused};
http_get($t->port, '/off');
is(retries('none')->{refused}, $refused, 'proxy_next_upstream off');
my ($post) = in_flight({ port => $t->port, in_flight => 1, requests => 1,
    uri => sub { '/none' }, method => sub { 'POST' } });
is_deeply($post->{statuses}, { 500 => 1 }, 'a POST is answered');
is(retries('none')->{refused}, $refused, 'which is not sent twice anyway');

# ---- A kept connection that is closed at that moment.

is(http_get($t->port, '/kept')->{status}, 200, 'a connection is kept');
$servers->set($kept, stale => 'fin');
my ($stale) = in_flight({ port => $t->port, in_flight => 1, requests => 20,
    uri => sub { '/kept' } });
is_deeply($stale->{statuses}, { 200 => 20 },
    'one that was closed is no failed attempt');
is_deeply(retries('kept'), { running => 0, total => 0, budget => 0, min => 0,
    refused => 0 }, 'and what comes after it is no retry');

# ---- A worker that is killed while a retry runs.

# Who asks, and waits for its answer.
sub ask {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $t->port) or die "connect: $!\n";
    print $socket "GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n";
    return $socket;
}
my $first = ask();
wait_ok { retries('held')->{running} == 1 } 'a retry runs';
is(http_get($t->port, '/held')->{status}, 500, 'there is room for one only');
is(retries('held')->{refused}, 1, 'the other one is refused');
$t->allow('worker process \d+ exited on signal 9');
kill 'KILL', $t->workers;
wait_ok { my $held = eval { retries('held') }; $held && !$held->{running} }
    'what a killed worker held is given back';
my $second = ask();
wait_ok { retries('held')->{running} == 1 } 'there is room again';
close $second;
wait_ok { !retries('held')->{running} } 'a client that leaves gives it back';

# ---- The metrics.

my $metrics = http_get($t->port, '/dw/metrics')->{body};
for my $name (sort keys %upstream) {
    my $status = retries($name);
    for my $what (['total', 'retries'], ['refused', 'retries_refused']) {
        my ($key, $metric) = @$what;
        my ($value) = $metrics =~ /^nginx_dynamic_weight_upstream_${metric}_total
            \{upstream="$name"\}\ (\d+)$/mx;
        is($value, $status->{$key}, "$name: $metric in the metrics");
    }
}

$t->done;
