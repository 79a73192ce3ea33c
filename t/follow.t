#!/usr/bin/perl

# The main job: weights follow the clusters, in memory, without a reload.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

for my $mode ('poll', 'watch') {
    my $t = DynamicWeight->new;
    my $bj = $t->fake_cluster('BJ');
    my $sh = $t->fake_cluster('SH');

    $bj->app('prod', 'orders', 12);
    $bj->nodes(map "127.0.0.$_", 11 .. 13);
    $sh->app('prod', 'orders', 7);
    $sh->nodes(map "127.0.0.$_", 21 .. 22);

    $t->start_backends;
    $t->conf(http => <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m state=%%DIR%%/state/main.json;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           $mode;
        interval       200ms;
        guard          drop=50% confirm=300ms;
    }
    dynamic_weight_cluster sh {
        api            %%SH%%;
        ingress_nodes  nodes=role=ingress;
        mode           $mode;
        interval       200ms;
        guard          off;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.2:%%BACKEND%% weight=2;
        server         127.0.0.3:%%BACKEND%% down;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%% slots=4;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%% empty=drain;
        keepalive      16;
    }
EOF
    ok($t->start, "$mode: nginx starts");

    my %kvm = ('127.0.0.1' => 10, '127.0.0.2' => 20, '127.0.0.3' => 0);
    my %bj = map { ("127.0.0.$_" => 40) } 11 .. 13;
    my %sh = map { ("127.0.0.$_" => 35) } 21 .. 22;
    ok($t->wait_weights('orders', {%kvm, %bj, %sh}), "$mode: first weights");

    is(http_get($t->port, '/dw/ready')->{status}, 200, "$mode: ready");
    my @workers = sort $t->workers;

    $t->start_load(2);

    $bj->app('prod', 'orders', 30);
    $bj->nodes(map "127.0.0.$_", 11 .. 14);
    %bj = map { ("127.0.0.$_" => 75) } 11 .. 14;
    ok($t->wait_weights('orders', {%kvm, %bj, %sh}),
        "$mode: pods and nodes added");

    $bj->nodes(map "127.0.0.$_", 11, 12, 14);
    %bj = map { ("127.0.0.$_" => 100) } 11, 12, 14;
    ok($t->wait_weights('orders', {%kvm, %bj, %sh}), "$mode: a node leaves");

    my $mark = $t->mark;
    wait_for { $t->backend_requests($mark) > 2000 } 'requests';
    ok(!$t->backend_counts($mark)->{'127.0.0.13'},
        "$mode: it gets no more requests");

    $bj->app('prod', 'orders', 1);
    %bj = map { ("127.0.0.$_" => 3) } 11, 12, 14;
    ok($t->wait_weights('orders', {%kvm, %bj, %sh}),
        "$mode: a large drop counts when it is confirmed");

    $sh->app('prod', 'orders', 0);
    %sh = map { ("127.0.0.$_" => 0) } 21, 22;
    ok($t->wait_weights('orders', {%kvm, %bj}),
        "$mode: empty=drain drains at no pods");
    $sh->app('prod', 'orders', 2);
    %sh = map { ("127.0.0.$_" => 10) } 21, 22;
    ok($t->wait_weights('orders', {%kvm, %bj, %sh}), "$mode: and back");

    $bj->nodes(map "127.0.0.$_", 11 .. 18);
    wait_ok { $t->log =~ /\[warn\].*orders.*slots/ } "$mode: more nodes than slots: a warning";
    ok($t->wait_weights('orders', {%kvm,
        (map { ("127.0.0.$_" => 2) } 11 .. 14), %sh}),
        "$mode: the first nodes are used, the share stays right");

    my $load = $t->stop_load;
    cmp_ok($load->{requests}, '>', 2000, "$mode: there was load");
    is($load->{failed}, 0, "$mode: no request failed")
        or diag(explain($load));
    is("@{[sort $t->workers]}", "@workers", "$mode: the same workers");
    unlike($t->log, qr/reconfiguring/, "$mode: no reload");
    like($t->log,
        qr/upstream "orders" cluster "bj": pods 12, nodes 3, weight 40/,
        "$mode: the first weight is logged");
    like($t->log, qr/upstream "orders" cluster "bj": pods 12 -> 30/,
        "$mode: a change is logged");

    ok($t->stop('QUIT'), "$mode: nginx quits");
    is(join("\n", $t->alarming), '', "$mode: nothing alarming in the log");
    is(join('', map { `cat $_` } glob "$t->{dir}/sanitizer/*"), '',
        "$mode: no sanitizer error");
    $t->cleanup;
}

done_testing();
