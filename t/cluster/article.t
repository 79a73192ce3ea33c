#!/usr/bin/perl

# The article's example on real kube-apiservers: cluster A has 12 pods on 3
# ingress nodes, cluster B 7 pods on 2, and there are two KVMs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use Test::More;

for my $mode ('watch', 'poll') {
    my $t = DynamicWeight->new(workers => 4);
    my $a = $t->kube_cluster('A');
    my $b = $t->kube_cluster('B');

    $a->app('prod', 'orders', 12);
    $a->nodes(map "127.0.0.$_", 11 .. 13);
    $b->app('prod', 'orders', 7);
    $b->nodes(map "127.0.0.$_", 21 .. 22);

    $t->start_backends;
    my $clusters = join '', map { <<"EOF" } 'A', 'B';
    dynamic_weight_cluster $_ {
        api            %%$_%%;
        token_file     %%${_}_TOKEN%%;
        ca_file        %%${_}_CA%%;
        ingress_nodes  nodes=role=ingress;
        mode           $mode;
        interval       500ms;
    }
EOF
    $t->conf(http => $clusters . <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.2:%%BACKEND%%;
        ingress_nodes  A service=prod/orders port=%%BACKEND%%;
        ingress_nodes  B service=prod/orders port=%%BACKEND%%;
        keepalive      32;
    }
EOF
    ok($t->start, "$mode: nginx starts");
    my %kvm = ('127.0.0.1' => 10, '127.0.0.2' => 10);
    my %b = map { ("127.0.0.$_" => 35) } 21 .. 22;
    ok($t->wait_weights('orders',
        {%kvm, (map { ("127.0.0.$_" => 40) } 11 .. 13), %b}),
        "$mode: weights 40, 35, 10");
    my @workers = sort $t->workers;

    # 21,000 requests: each KVM and each pod gets 1/21.

    my $failed = 0;
    my $measure = sub {
        my ($what, $pods_a, $nodes_a) = @_;
        my $mark = $t->mark;
        $t->start_load(3);
        wait_for { $t->mark - $mark > 21000 * 15 } 'requests', 120;
        wait_for { $t->backend_requests($mark) >= 21000 } 'requests', 120;
        my $load = $t->stop_load;
        $failed += $load->{failed};
        my @requests = $t->backend_requests($mark);
        cmp_ok(scalar @requests, '>=', 21000, "$mode: $what: 21,000 requests");
        my %count;
        $count{$_->[0]}++ for @requests[0 .. 20999];
        my $sum = sub { my $n = 0; $n += $count{"127.0.0.$_"} // 0 for @_; $n };
        my $fair = 21000 / ($pods_a + 7 + 2);
        for my $instance (
            ['KVM 1', $sum->(1)], ['KVM 2', $sum->(2)],
            ['a pod of A', $sum->(11 .. 10 + $nodes_a) / $pods_a],
            ['a pod of B', $sum->(21, 22) / 7])
        {
            my ($name, $n) = @$instance;
            cmp_ok(abs($n / $fair - 1), '<=', 0.01,
                sprintf '%s: %s: %s got %.1f of %.1f requests', $mode, $what,
                    $name, $n, $fair);
        }
    };
    $measure->('12 and 7 pods', 12, 3);

    # A scales to 30 pods and gains a node, under load.

    $t->start_load(2);
    $a->app('prod', 'orders', 30);
    $a->nodes(map "127.0.0.$_", 11 .. 14);
    ok($t->wait_weights('orders',
        {%kvm, (map { ("127.0.0.$_" => 75) } 11 .. 14), %b}),
        "$mode: A weighs 75");
    my $load = $t->stop_load;
    $failed += $load->{failed};
    $measure->('30 and 7 pods', 30, 4);

    is("@{[sort $t->workers]}", "@workers", "$mode: the same workers");
    unlike($t->log, qr/reconfiguring/, "$mode: no reload");

    # An API server goes down and comes back, under load.

    $t->start_load(2);
    $a->stop_apiserver('KILL');
    wait_ok {
        $t->status->{clusters}{A}{watch}{failing_since}
    } "$mode: the status tells that A's API is down", 60;
    is($t->weights('orders')->{'127.0.0.11'}, 75, "$mode: weights hold");
    $b->app('prod', 'orders', 9);
    %b = map { ("127.0.0.$_" => 45) } 21 .. 22;
    ok($t->wait_weights('orders',
        {%kvm, (map { ("127.0.0.$_" => 75) } 11 .. 14), %b}),
        "$mode: the other cluster goes on");
    $a->start;
    $a->app('prod', 'orders', 40);
    ok($t->wait_weights('orders',
        {%kvm, (map { ("127.0.0.$_" => 100) } 11 .. 14), %b}, 90),
        "$mode: A is followed again");
    $load = $t->stop_load;
    is($failed + $load->{failed}, 0, "$mode: no request failed");

    my $secret = $a->read_token;
    unlike($t->log, qr/\Q$secret/, "$mode: no secret in the log");
    unlike(http_get($t->port, '/dw/status')->{body}, qr/\Q$secret/,
        "$mode: nor in the status");
    ok($t->stop('QUIT'), "$mode: nginx quits");
    is(join("\n", $t->alarming), '', "$mode: nothing alarming in the log");
    $t->cleanup;
}

done_testing();
