package DynamicWeight::NacosSdk;

# A process that registers and subscribes by the vendor's SDK for Python
# (t/nacos/sdk/client.py, which says what can be asked of it):
#
#   my $sdk = DynamicWeight::NacosSdk->new($t, $vm);    # a DynamicWeight::Nacos
#   $sdk->ask('register orders 8080 127.0.0.11=0.5');
#   $sdk->stop;                                         # kill -9

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Select;
use IPC::Open2;

my $root = abs_path(dirname(__FILE__) . '/../../..');

sub new {
    my ($class, $t, $server) = @_;
    chomp(my $python = `$root/t/nacos/sdk/build`);
    die "t/nacos/sdk/build failed\n" if $?;
    my $self = bless { owner => $$, pushes => [], text => '',
        dir => "$t->{dir}/sdk-" . ++$t->{sdks} }, $class;
    push @{$t->{clusters}}, $self;
    mkdir $self->{dir};
    # Ends with the test, even if that is killed.
    $self->{pid} = open2($self->{out}, $self->{in}, 'setpriv', '--pdeathsig',
        'KILL', 'sh', '-c', 'cd "$1" && shift && exec "$@" 2> stderr', 'sh',
        $self->{dir}, $python, "$root/t/nacos/sdk/client.py",
        "127.0.0.1:$server->{port}");
    return $self;
}

# The next line that it has printed, or nothing after so many seconds.
sub line {
    my ($self, $seconds) = @_;
    while (1) {
        return $1 if $self->{text} =~ s/^(.*)\n//;
        IO::Select->new($self->{out})->can_read($seconds) or return;
        sysread $self->{out}, $self->{text}, 65536, length $self->{text}
            or die "the SDK has ended: see $self->{dir}\n";
    }
}

# Dies unless the SDK says that it has succeeded.
sub ask {
    my ($self, $command) = @_;
    syswrite $self->{in}, "$command\n";
    while (1) {
        my $line = $self->line(60) // die "$command: no answer\n";
        return if $line eq 'ok';
        $line =~ /^push / or die "$command: $line\n";
        push @{$self->{pushes}}, $line;
    }
}

# What a subscription has brought next: { at => ns, weights => { ip => weight } }.
sub next_push {
    my ($self) = @_;
    my $line = shift @{$self->{pushes}} // $self->line(60)
        // die "nothing is pushed to the SDK\n";
    my (undef, $at, @instances) = split ' ', $line;
    return { at => $at, weights => { map { split /=/ } @instances } };
}

sub stop {
    my ($self) = @_;
    return if $$ != $self->{owner} || !$self->{pid};
    kill 'KILL', $self->{pid};
    waitpid delete $self->{pid}, 0;
    return;
}

1;
