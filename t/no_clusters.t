#!/usr/bin/perl

# An edge of VMs alone: without a cluster the thread runs where probes or outlier
# detection ask for it, and then the metrics say how it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new(workers => 2);
my @kvm = map "127.0.0.$_", 11 .. 14;
my $slow = $t->slow_servers(addresses => [@kvm]);
my $servers = join ' ', map "server $_:%%BACKEND%%;", @kvm;

sub conf {
    my ($directives) = @_;
    $t->conf(http => <<"EOF" . $t->edge_server('u'));
    dynamic_weight_zone main:1m;
    upstream u { dynamic_weight; $servers $directives }
EOF
}
sub age {
    my ($age) = http_get($t->port, '/dw/metrics')->{body}
        =~ /^\w+_watcher_age_seconds (\S+)$/m;
    return $age;
}
sub states {
    my %count;
    $count{$_->{state}}++ for @{$t->status->{upstreams}{u}{peers}};
    return join ' ', map { "$count{$_} $_" } sort keys %count;
}
sub threads {
    return grep { $_ eq 'dynamic_weight' } map { my ($pid) = $_;
        map { open my $f, '<', $_; my $name = <$f> // ''; chomp $name; $name }
            glob "/proc/$pid/task/*/comm" } $t->workers;
}

conf('');
ok($t->start, 'nginx starts');
is(scalar threads(), 0, 'nobody asks for anything: there is no thread');
is(age(), undef, 'and nothing is said of it');

conf('dynamic_weight_outlier;');
ok($t->reload, 'outlier detection alone');
wait_ok { threads() == 1 } 'there is a thread';
cmp_ok(age(), '<', 20, 'it is at work');

conf('dynamic_weight_probe http uri=/healthz interval=300ms fails=2;');
ok($t->reload, 'probes alone');
wait_ok { ($t->status->{upstreams}{u}{probe}{passing} // 0) == 4 } 'all pass';
$slow->set($kvm[0], uri => '/healthz', mode => 503);
wait_ok { states() eq '1 unhealthy 3 up' } 'one fails and is out';
cmp_ok(age(), '<', 20, 'the thread is at work');
$t->allow(qr/exited on signal 9/);
my $worker0 = $t->worker0;
kill KILL => $worker0;
$t->next_worker0($worker0);
is(states(), '1 unhealthy 3 up', 'it is out without worker 0');
$slow->set($kvm[0], mode => '');
wait_ok { states() eq '4 up' } 'and back, by the next one';

$t->done;
