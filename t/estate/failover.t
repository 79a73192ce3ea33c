#!/usr/bin/perl

# A cluster that stands by: B has the next priority. A's nodes and API hang, which
# probes find out; B takes over at once and gives back what it had when A is well,
# and not now and then in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use Test::More;

# Lenient by default, as a busy machine may be slow to answer.
my $probe = $ENV{ESTATE_PROBE} // 'interval=1s timeout=1s fails=3 passes=2';
my $estate = DynamicWeight::Estate->new(apps => ['orders', 'payments'],
    line_in => { A => 'priority=0 slow_start=3s', B => 'priority=1' },
    block => "probe tcp $probe;");
$estate->make($_->[0] => $_->[1], 12)
    for ['A', 'orders'], ['B', 'orders'], ['A', 'payments'], ['B', 'payments'];
$estate->begin;
$estate->expect(
    qr/upstream timed out .* upstream: "http:\/\/127\.0\.1\./,
    qr/(?:recv\(\) failed|upstream prematurely closed) .* upstream: "http:\/\/127\.0\.1\./,
    qr/upstream server temporarily disabled .* upstream: "http:\/\/127\.0\.1\./,
    qr/the probe of 127\.0\.1\.\d+:\d+ \(cluster "A", tcp\) fails/,
    qr/cluster "A"/);
my $kube = $estate->cluster('A');
my $nodes = $estate->ingress_nodes('A');

# Answers of each second that is over: what B had of them, in %, after this one.
sub shares {
    my ($after) = @_;
    my $seconds = $estate->so_far->{seconds};
    return map {
        my $of = $seconds->{$_}{clusters};
        my $all = ($of->{A} // 0) + ($of->{B} // 0);
        $all ? 100 * ($of->{B} // 0) / $all : ();
    } grep { $_ > $after } sort { $a <=> $b } keys %$seconds;
}
sub last_second { my ($last) = sort { $b <=> $a } keys %{$estate->so_far->{seconds}};
    return $last }
sub loads {
    my ($app) = @_;
    return join ' ', map { 100 * $_->{share} }
        @{$estate->t->status->{upstreams}{$app}{failover}{priorities}};
}

$estate->linger(3);
is(join(' ', grep { $_ > 0 } shares(0)), '', 'B stands by');

$estate->mark("A's nodes and API hang");
$_->freeze for $nodes, $kube;
$estate->awaits(sub { loads('orders') eq '0 100' && loads('payments') eq '0 100' },
    'B is to have everything');
my $taken = last_second();
$estate->linger(6);
is(join(' ', grep { $_ < 100 } shares($taken + 3)), '', 'B has everything');
ok($estate->await(A => { orders => 12, payments => 12 }), "A's weights hold");

$estate->mark('A comes back');
$_->thaw for $kube, $nodes;
$estate->await_settled('A');
$estate->awaits(sub { loads('orders') eq '100 0' && loads('payments') eq '100 0' },
    'A is to have everything again');
my $back = last_second();
$estate->linger(6);
is(join(' ', grep { $_ > 0 } shares($back + 2)), '', 'and has, in each second');
$estate->finish;
