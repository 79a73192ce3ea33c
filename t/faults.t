#!/usr/bin/perl

# Whatever an API does, weights hold; the log says why once; the status shows
# it; and when it recovers, weights follow.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
my $pods = 12;
$bj->app('prod', 'orders', $pods);
$bj->nodes(map "127.0.0.$_", 11 .. 13);

$t->start_backends;
$t->conf(http => <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       100ms;
        timeout        500ms;
        guard          drop=50% confirm=2s;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
    }
EOF
ok($t->start, 'nginx starts');

sub weights {
    return { '127.0.0.1' => 10,
        map { ("127.0.0.$_" => int($pods * 10 / 3)) } 11 .. 13 };
}
ok($t->wait_weights('orders', weights()), 'weights');

my @faults = (
    ['status', [code => 500], qr/HTTP 500/],
    ['status', [code => 401], qr/HTTP 401.*token/],
    ['status', [code => 403], qr/HTTP 403.*(?:list|rbac)/],
    ['hang', [], qr/time|answer/],
    ['hang_body', [], qr/time|answer/],
    ['close_half', [], qr/closed|end|partial|transfer|cut/],
    ['huge', [], qr/time|longer/],
    ['garbage', [], qr/JSON|bracket/],
    ['html', [], qr/JSON/],
    ['nested', [], qr/JSON|nest|deep|objects/],
    ['bad_types', [], qr/list|type|kind|must/],
    ['gzip_bomb', [], qr/longer|time/],
    ['redirect', [location => 'http://127.0.0.1:1/'], qr/HTTP 302/],
    ['down', [], qr/connect/i],
);

$t->start_load(1, pause => 0.002);

for my $fault (@faults) {
    my ($kind, $more, $why) = @$fault;
    my $name = $kind eq 'status' ? "status $more->[1]" : $kind;

    # The one before is over in the status, too.
    wait_for {
        !$t->status->{clusters}{bj}{watch}{failing_since}
    } 'no failure';
    my $offset = length $t->log;
    $kind eq 'down' ? $bj->stop : $bj->fault($kind, @$more);

    wait_ok {
        my $watch = $t->status->{clusters}{bj}{watch};
        $watch->{failing_since} && $watch->{last_error} =~ $why
    } "$name: the status says why"
        or diag($t->status->{clusters}{bj}{watch}{last_error});
    my $status = $t->status;
    my $watch = $status->{clusters}{bj}{watch};
    cmp_ok($watch->{last_success}, '<', $status->{time}, "$name: and since when");

    # Several polls later.
    my $failures = $watch->{failures};
    wait_for {
        $t->status->{clusters}{bj}{watch}{failures} >= $failures + 2
    } 'more failures', 60;
    is_deeply($t->weights('orders'), weights(), "$name: weights hold");

    my %seen;
    my @lines = substr($t->log, $offset) =~ /\[error\].*?(dynamic.*)/g;
    cmp_ok(scalar @lines, '>=', 1, "$name: the log says why");
    is(join("\n", grep { $seen{$_}++ } @lines), '',
        "$name: once, not once a poll");

    $kind eq 'down' ? $bj->start : $bj->heal;
    $pods += 3;
    $bj->app('prod', 'orders', $pods);
    ok($t->wait_weights('orders', weights()), "$name: recovers");
}

# An empty list, once: weights hold, and go on holding.

$bj->fault('empty_list', times => 2);
wait_ok { $t->status->{clusters}{bj}{watch}{rejected} > 0 } 'an empty list is held back';
is_deeply($t->weights('orders'), weights(), 'empty list once: weights hold');
$bj->heal;
$pods += 3;
$bj->app('prod', 'orders', $pods);
ok($t->wait_weights('orders', weights()), 'and follow');

my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));

$t->done;
