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
    ['status', [code => 500], qr/500/],
    ['status', [code => 401], qr/401/],
    ['status', [code => 403], qr/403/],
    ['hang', [], qr/./],
    ['hang_body', [], qr/./],
    ['close_half', [], qr/./],
    ['huge', [], qr/./],
    ['garbage', [], qr/./],
    ['html', [], qr/./],
    ['nested', [], qr/./],
    ['bad_types', [], qr/./],
    ['gzip_bomb', [], qr/./],
    ['redirect', [location => 'http://127.0.0.1:1/'], qr/30\d/],
    ['refuse', [], qr/./],
);

$t->start_load(1);

for my $fault (@faults) {
    my ($kind, $more, $why) = @$fault;
    my $name = join ' ', $kind, @$more;
    my $offset = length $t->log;
    $bj->fault($kind, @$more);

    ok(wait_for {
        my $watch = $t->status->{clusters}{bj}{watch};
        $watch->{failing_since} && $watch->{failures} >= 3
    } 'failures', "$name: the status says so");
    my $watch = $t->status->{clusters}{bj}{watch};
    like($watch->{last_error}, $why, "$name: and why");
    cmp_ok($watch->{last_success}, '<', $t->status->{time}, "$name: and age");

    # Several polls later.
    my $failures = $watch->{failures};
    wait_for {
        $t->status->{clusters}{bj}{watch}{failures} >= $failures + 3
    } 'more failures', 60;
    is_deeply($t->weights('orders'), weights(), "$name: weights hold");

    my $lines = () = substr($t->log, $offset) =~ /\[error\].*bj/g;
    cmp_ok($lines, '>=', 1, "$name: the log says why");
    cmp_ok($lines, '<=', 3, "$name: once for each source, not once a poll");

    $bj->heal;
    $pods += 3;
    $bj->app('prod', 'orders', $pods);
    ok($t->wait_weights('orders', weights()), "$name: recovers");
}

# An empty list, once: weights hold, and go on holding.

my $lists = $bj->requests;
$bj->fault('empty_list', times => 2);
ok(wait_for { $t->status->{clusters}{bj}{watch}{rejected} > 0 } 'the guard',
    'an empty list is held back');
is_deeply($t->weights('orders'), weights(), 'empty list once: weights hold');
$bj->heal;
$pods += 3;
$bj->app('prod', 'orders', $pods);
ok($t->wait_weights('orders', weights()), 'and follow');

my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));

$t->done;
