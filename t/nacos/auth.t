#!/usr/bin/perl

# A registry that wants a login and has the newest API alone, whose lists do not
# show the protection threshold: a real server of Nacos 3.1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Nacos;
use Test::More;

my $t = DynamicWeight->new;
my $vm = DynamicWeight::Nacos->new($t, 'VM', version => '3.1', auth => 1,
    old_api => 0);
$t->start_backends;
$t->write_file($_, "$vm->{password}\n") for qw(right later);
$t->write_file('later', "wrong\n");
chmod 0644, map "$t->{dir}/$_", qw(right later);

my %ways = (
    subscribed => 'user nacos; password_file %%DIR%%/right;',
    polled => 'user nacos; password_file %%DIR%%/right; mode poll; '
        . 'interval 500ms;',
    later => 'user nacos; password_file %%DIR%%/later; mode poll; '
        . 'interval 500ms;',
    nobody => 'mode poll; interval 500ms;',
);
$t->conf(http => 'dynamic_weight_zone main:4m;' . join('', map { <<"EOF" }
    dynamic_weight_cluster $_ { type nacos; api %%VM%%; $ways{$_} }
    upstream $_ { dynamic_weight; server 127.0.0.1:1 backup;
                  instances $_ service=orders; }
EOF
    sort keys %ways) . $t->edge_server('subscribed'));
$vm->await;
$vm->register('orders', "127.0.0.$_", $t->{backend}) for 11 .. 13;
$t->start;

my %want = map { ("127.0.0.$_" => 10) } 11 .. 13;
sub has {
    my ($upstream) = @_;
    my $weights = $t->weights($upstream);
    return 3 == grep { $weights->{$_} } keys %want;
}
sub last_error { $t->status->{clusters}{$_[0]}{watch}{last_error} }

wait_ok { has('subscribed') } 'a login and a subscription';
wait_ok { has('polled') } 'a login and lists';
wait_ok { last_error('nobody') =~ /403.*write user and password_file/ }
    'without a user it says what is missing';
wait_ok { last_error('later') =~ /login as "nacos".*password_file/ }
    'a wrong password is told of';
ok(!has('later') && !has('nobody'), 'who has not logged in is told nothing');

$t->write_file('later', "$vm->{password}\n");
wait_ok { has('later') } 'another password in the file is taken';

# Two of four are dead. Until the server has found that out they are peers.

my $dead = DynamicWeight::free_port();
$vm->register('orders', "127.0.0.$_", $dead) for 21, 22;
wait_for { 2 == grep { !$_->{healthy} } values %{$vm->list('orders')} }
    'the server to find them dead', 60;
sub only_the_living {
    my $weights = $t->weights($_[0]);
    delete $weights->{'127.0.0.1'};    # the backup
    return join(' ', sort keys %$weights) eq join ' ', sort keys %want;
}
for my $upstream (qw(subscribed polled)) {
    wait_ok { only_the_living($upstream) } "unhealthy ones: $upstream";
}
# The server pushes a threshold with the next change; whether that is seen before
# the threshold is a matter of luck.
$vm->protect('orders', 0.9);
$vm->register('orders', '127.0.0.14', $t->{backend});
for my $cluster (qw(subscribed polled)) {
    wait_ok {
        grep /orders.*protection threshold.*last [34] hold/,
            @{$t->status->{clusters}{$cluster}{watch}{warnings}}
    } "at the protection threshold: $cluster", 60;
    my $weights = $t->weights($cluster);
    ok(!(grep { $weights->{"127.0.0.$_"} } 21, 22), '... the dead get nothing');
}
$vm->deregister('orders', "127.0.0.$_", $dead) for 21, 22;
$want{'127.0.0.14'} = 10;
for my $upstream (qw(subscribed polled)) {
    wait_ok { only_the_living($upstream) } "above it again: $upstream", 60;
}

my $password = quotemeta $vm->{password};
unlike($t->log, qr/$password|a%20pass|accessToken/, 'no secret in the log');
$t->done;
